"""`manage.py pool`: a pool's settings from a shell."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Pool, PoolEvent

pytestmark = pytest.mark.django_db


def told(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("pool", "default", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_what_it_shows_can_be_given_back_to_it(pool):
    assert told("--set", "max_gang=8", "--set", "max_time_limit_s=12 h", "--user", "ann") == [
        "Longest time limit: no limit → 12 h", "Largest gang: no limit → 8 devices"
    ]  # fmt: skip
    shown = told()
    assert {"max_gang=8", "max_time_limit_s=12 h", "currency=EUR"} <= set(shown)
    assert told(*[part for line in shown for part in ("--set", line)]) == ["Nothing changed."]
    assert (Pool.objects.get().max_gang, PoolEvent.objects.get().actor) == (8, "ann")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "max_gang=0"], "at least 1"),
        (["--set", "size=3"], "'size' is none of"),
        (["--set", "x"], "NAME=VALUE"),
    ],
)
def test_what_it_does_not_understand_is_named(pool, arguments, said):
    with pytest.raises(CommandError, match=said):
        told(*arguments)


def test_an_unknown_pool_is_named(db):
    with pytest.raises(CommandError, match="no pool 'default'"):
        told()

"""`manage.py pool`: show and change a pool's settings."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Pool, PoolEvent

pytestmark = pytest.mark.django_db


def run_command(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("pool", "default", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_its_output_can_be_used_as_its_input(pool):
    assert run_command("--set", "max_gang=8", "--set", "max_time_limit_s=12 h", "--user", "ann") == [
        "Longest time limit: no limit → 12 h", "Largest job: no limit → 8 devices"
    ]  # fmt: skip
    shown = run_command()
    assert {"max_gang=8", "max_time_limit_s=12 h", "currency=EUR"} <= set(shown)
    assert run_command(*[part for line in shown for part in ("--set", line)]) == ["Nothing changed."]
    assert (Pool.objects.get().max_gang, PoolEvent.objects.get().actor) == (8, "ann")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--set", "max_gang=0"], "at least 1"),
        (["--set", "size=3"], "Setting 'size' is unknown"),
        (["--set", "x"], "NAME=VALUE"),
    ],
)
def test_an_invalid_setting_is_named(pool, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        run_command(*arguments)


def test_an_unknown_pool_is_named(db):
    with pytest.raises(CommandError, match="Pool 'default' does not exist"):
        run_command()

"""`manage.py share`: the door to weights, quotas and budgets."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Share

pytestmark = pytest.mark.django_db


def share(*arguments: str) -> str:
    out = io.StringIO()
    call_command("share", "research", "default", *arguments, stdout=out)
    return out.getvalue().strip()


def test_a_team_without_a_row_has_weight_one_and_no_limit(team, pool):
    assert share() == (
        "Team research in pool default: weight 1, 0 devices guaranteed, any number more to borrow, no monthly budget."
    )
    assert not Share.objects.exists()


def test_each_value_is_changed_alone_and_what_was_used_stays(team, pool):
    share("--weight", "2", "--guaranteed", "4", "--borrowable", "0", "--budget", "1.5")
    Share.objects.update(used_device_s=77)
    assert "weight 2, 4 devices guaranteed, any number more to borrow, 1.5 device-hours" in share(
        "--borrowable", "none"
    )
    assert Share.objects.get().used_device_s == 77
    assert share("--budget", "none").endswith("no monthly budget.")


@pytest.mark.parametrize(
    "wrong", [["--weight", "0"], ["--guaranteed", "-1"], ["--borrowable", "many"], ["--budget", "-2"]]
)
def test_what_makes_no_sense_is_refused_and_nothing_changes(team, pool, wrong):
    with pytest.raises(CommandError):
        share(*wrong)
    assert not Share.objects.exists()


def test_an_unknown_team_or_pool_is_named(db):
    with pytest.raises(CommandError, match="'research'"):
        share()

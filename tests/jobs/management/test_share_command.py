"""`manage.py share`: weights, quotas and budgets."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from jobs.models import PoolEvent, Share

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


def test_each_value_is_changed_alone_and_the_use_stays(team, pool, make_node):
    make_node("a", devices=4)
    share("--weight", "2", "--guaranteed", "4", "--borrowable", "0", "--budget", "1.5")
    Share.objects.update(used_device_s=77)
    assert "weight 2, 4 devices guaranteed, any number more to borrow, 1.5 device-hours" in share(
        "--borrowable", "none"
    )
    assert Share.objects.get().used_device_s == 77
    assert share("--budget", "none").endswith("no monthly budget.")
    text = share("--budget", "1.5", "--budget-kwh", "0.1", "--budget-money", "250")
    assert text.endswith("1.5 device-hours, 0.1 kWh, 250 EUR a month.")
    assert Share.objects.get().monthly_budget_j == 360_000


def test_guarantees_of_all_teams_never_exceed_the_devices_of_the_pool(team, pool, other_team, node):
    Share.objects.create(team=other_team, pool=pool, guaranteed=1)
    with pytest.raises(CommandError, match="2 plus the 1 guaranteed to other teams exceed the 2 devices"):
        share("--guaranteed", "2")
    assert "1 devices guaranteed" in share("--guaranteed", "1")


def test_every_change_is_recorded_with_its_actor(team, pool):
    share("--weight", "2", "--borrowable", "8", "--user", "ann")
    share("--weight", "2")
    event = PoolEvent.objects.get()
    assert (event.actor, event.team, event.text) == (
        "ann", team, "Weight: 1 → 2\nBorrowable: any number → 8 devices",
    )  # fmt: skip


@pytest.mark.parametrize(
    "wrong", [["--weight", "0"], ["--guaranteed", "-1"], ["--borrowable", "many"], ["--budget", "-2"]]
)
def test_invalid_values_are_refused_and_nothing_changes(team, pool, wrong):
    with pytest.raises(CommandError):
        share(*wrong)
    assert not Share.objects.exists()


def test_an_unknown_team_or_pool_is_named(db):
    with pytest.raises(CommandError, match="'research'"):
        share()

"""What a pool's settings refuse, and what they give by themselves."""

from __future__ import annotations

import pytest

from engine.spec.spec import Problem, SpecError
from jobs.models import Pool, PoolEvent
from jobs.pools import pool_settings
from jobs.pools.setting_types import SettingsError
from jobs.queue import job_actions

pytestmark = pytest.mark.django_db


def change(pool: Pool, **texts: str) -> PoolEvent | None:
    return pool_settings.change(pool, "ann", texts)


@pytest.fixture
def refused(make_spec, team):
    def refused(*changes: str, devices: int = 1, **values: str) -> dict[str, Problem]:
        with pytest.raises(SpecError) as error:
            job_actions.check(make_spec(*changes, devices=devices, **values), team)
        return {problem.field: problem for problem in error.value.problems}

    return refused


def test_a_spec_that_names_no_time_limit_gets_the_pools(make_job, node, pool):
    assert make_job().time_limit_s == 3600
    change(pool, max_time_limit_s="30 min")
    assert make_job().time_limit_s == 1800
    change(pool, default_time_limit_s="10 min")
    job = make_job()
    assert (job.time_limit_s, job.spec["budget"]["time_limit_s"]) == (600, 600)
    assert job.run.spec == job.spec


def test_a_longer_time_limit_is_refused_at_its_field_with_the_longest(refused, node, pool):
    change(pool, max_time_limit_s="1.5 h")
    problem = refused("budget.time_limit_s=7200")["budget.time_limit_s"]
    assert "7200 s are more than pool 'default' allows: 5400 s (90 min)" in problem.message
    assert problem.fix == {"budget.time_limit_s": 5400}


def test_a_larger_gang_is_refused_at_its_field_with_the_largest(refused, make_node, pool):
    make_node("wide", devices=8)
    change(pool, max_gang="4")
    assert refused(devices=8)["parallel.data"].fix == {"parallel.data": 4}
    deep = refused("parallel.stages=6", "model.layers=8", devices=1)["parallel.stages"]
    assert deep.fix == {"parallel.data": 1, "parallel.stages": 4}
    assert "gives one job 4 at the most" in deep.message


def test_a_team_that_is_not_allowed_is_sent_to_a_pool_that_takes_it(
    refused, make_node, node, pool, other_team
):
    change(pool, allowed_teams="others")
    assert "ask an admin" in refused()["pool"].message
    make_node("b", pool="open")
    problem = refused()["pool"]
    assert problem.message == "Pool 'default' takes no jobs of team Research. Open to it: open."
    assert problem.fix == {"pool": "open"}


def test_allowed_teams_get_in_and_none_named_means_everybody(make_job, node, pool):
    change(pool, allowed_teams="research")
    make_job()
    change(pool, allowed_teams="")
    make_job()


def test_required_labels_decide_which_pool_will_do(refused, make_job, make_node, node, pool):
    make_node("b", pool="fast")
    change(Pool.objects.get(name="fast"), labels="gpu=h200, site=north")
    problem = refused(requires="gpu=h200")["requires"]
    assert "Pool 'default' has not gpu=h200 (its labels: none). Pool 'fast' has all" in problem.message
    assert problem.fix == {"pool": "fast"}
    assert "No pool has all" in refused(requires="gpu=b300")["requires"].message
    assert "'gpu' is no label" in refused(requires="gpu")["requires"].message
    assert make_job(requires="gpu=h200 site=north", pool="fast").pool.name == "fast"


def test_a_change_is_written_with_who_made_it_and_only_what_differs(pool):
    event = change(pool, max_gang="8", labels="b=2, a=1", currency="EUR")
    assert (event.actor, event.pool, event.text) == (
        "ann", pool, "Labels: none → a=1, b=2\nLargest gang: no limit → 8 devices",
    )  # fmt: skip
    assert change(pool, max_gang="8") is None
    assert PoolEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("max_gang", "0", "0 is out of range: it must be at least 1."),
        ("max_gang", "many", "'many' is not a whole number."),
        ("max_time_limit_s", "soon", "'soon' is no length of time. Say 90 s, 15 min, 1.5 h or 2 d."),
        ("max_time_limit_s", "3 s", "'3 s' is out of range: 10 s to 60 d."),
        ("price_per_device_hour", "-1", "-1 is out of range: it must be at least 0."),
        ("tariff_per_kwh", "nan", "'nan' is not a finite number."),
        ("currency", "euro", "'euro' is no currency code."),
        ("labels", "gpu", "'gpu' is no label."),
        ("labels", "a=1 a=2", "'a' stands here twice."),
        ("allowed_teams", "nobody", "There is no team 'nobody'."),
        ("default_time_limit_s", "2 h", "2 h is longer than the longest time limit, 1 h."),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_changes(pool, name, text, sentence):
    change(pool, max_time_limit_s="1 h")
    with pytest.raises(SettingsError) as error:
        change(pool, is_open="false", **{name: text})
    assert error.value.problems[0].field == name and sentence in error.value.problems[0].message
    assert Pool.objects.get().is_open and PoolEvent.objects.count() == 1


def test_who_has_not_seen_another_persons_change_does_not_undo_it(pool):
    change(pool, max_gang="8")
    with pytest.raises(pool_settings.Stale, match="ann has changed this meanwhile"):
        pool_settings.change(pool, "bea", {"max_gang": "2"}, seen=0)
    assert pool_settings.change(pool, "bea", {"max_gang": "2"}, seen=PoolEvent.objects.get().id)


@pytest.mark.parametrize("text", ["90 s", "15 min", "2 h", "3 d", "5401 s", ""])
def test_a_length_of_time_is_shown_as_it_can_be_typed(pool, text):
    change(pool, max_time_limit_s=text)
    pool.refresh_from_db()
    assert pool_settings.texts_of(pool)["max_time_limit_s"] == text

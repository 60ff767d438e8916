"""Limits and defaults of a pool's settings."""

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


def test_a_time_limit_over_the_maximum_is_refused_at_its_field(refused, node, pool):
    change(pool, max_time_limit_s="1.5 h")
    problem = refused("budget.time_limit_s=7200")["budget.time_limit_s"]
    assert "7200 s exceed the limit of pool 'default', 5400 s (90 min)" in problem.message
    assert problem.fix == {"budget.time_limit_s": 5400}


def test_a_gang_over_the_maximum_is_refused_at_its_field(refused, make_node, pool):
    make_node("wide", devices=8)
    change(pool, max_gang="4")
    assert refused(devices=8)["parallel.data"].fix == {"parallel.data": 4}
    deep = refused("parallel.stages=6", "model.layers=8", devices=1)["parallel.stages"]
    assert deep.fix == {"parallel.data": 1, "parallel.stages": 4}
    assert "allows at most 4 per job" in deep.message


def test_a_team_that_is_not_allowed_gets_the_name_of_an_open_pool(refused, make_node, node, pool, other_team):
    change(pool, allowed_teams="others")
    assert "ask an admin" in refused()["pool"].message
    make_node("b", pool="open")
    problem = refused()["pool"]
    assert problem.message == "Pool 'default' does not accept jobs of team Research. Open pools: open."
    assert problem.fix == {"pool": "open"}


def test_allowed_teams_may_submit_and_an_empty_list_allows_all(make_job, node, pool):
    change(pool, allowed_teams="research")
    make_job()
    change(pool, allowed_teams="")
    make_job()


def test_required_labels_select_the_pool(refused, make_job, make_node, node, pool):
    make_node("b", pool="fast")
    change(Pool.objects.get(name="fast"), labels="gpu=h200, site=north")
    problem = refused(requires="gpu=h200")["requires"]
    assert "Pool 'default' does not have gpu=h200 (its labels: none). Pool 'fast' has all" in problem.message
    assert problem.fix == {"pool": "fast"}
    assert "No pool has all" in refused(requires="gpu=b300")["requires"].message
    assert "'gpu' is not a label" in refused(requires="gpu")["requires"].message
    assert make_job(requires="gpu=h200 site=north", pool="fast").pool.name == "fast"


def test_a_change_event_names_the_actor_and_only_what_differs(pool):
    event = change(pool, max_gang="8", labels="b=2, a=1", currency="EUR")
    assert (event.actor, event.pool, event.text) == (
        "ann", pool, "Labels: none → a=1, b=2\nLargest job: no limit → 8 devices",
    )  # fmt: skip
    assert change(pool, max_gang="8") is None
    assert PoolEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("max_gang", "0", "0 is out of range: it must be at least 1."),
        ("max_gang", "many", "'many' is not a whole number."),
        ("max_time_limit_s", "soon", "'soon' is not a duration. Use 90 s, 15 min, 1.5 h or 2 d."),
        ("max_time_limit_s", "3 s", "'3 s' is out of range: 10 s to 60 d."),
        ("price_per_device_hour", "-1", "-1 is out of range: it must be at least 0."),
        ("tariff_per_kwh", "nan", "'nan' is not a finite number."),
        ("currency", "euro", "'euro' is not a currency code."),
        ("labels", "gpu", "'gpu' is not a label."),
        ("labels", "a=1 a=2", "Label 'a' is given twice."),
        ("allowed_teams", "nowhere", "Team 'nowhere' does not exist."),
        ("default_time_limit_s", "2 h", "2 h exceeds the longest time limit, 1 h."),
    ],
)
def test_invalid_values_are_refused_and_nothing_changes(pool, name, text, sentence):
    change(pool, max_time_limit_s="1 h")
    with pytest.raises(SettingsError) as error:
        change(pool, is_open="false", **{name: text})
    assert error.value.problems[0].field == name and sentence in error.value.problems[0].message
    assert Pool.objects.get().is_open and PoolEvent.objects.count() == 1


def test_a_change_based_on_old_settings_is_refused(pool):
    change(pool, max_gang="8")
    with pytest.raises(pool_settings.StaleSettings, match="ann changed these settings"):
        pool_settings.change(pool, "bea", {"max_gang": "2"}, seen_event_id=0)
    assert pool_settings.change(pool, "bea", {"max_gang": "2"}, seen_event_id=PoolEvent.objects.get().id)


@pytest.mark.parametrize("text", ["90 s", "15 min", "2 h", "3 d", "5401 s", ""])
def test_a_duration_is_shown_as_it_can_be_typed(pool, text):
    change(pool, max_time_limit_s=text)
    pool.refresh_from_db()
    assert pool_settings.setting_texts(pool)["max_time_limit_s"] == text

"""Differences between the parameters and tags of runs."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Run, RunTag
from jobs.runs.differences import find_differences
from jobs.tracking import external_runs, params

pytestmark = pytest.mark.django_db


@pytest.fixture
def make_run(owner, team):
    def make(tags: dict[str, str] | None = None, **values: str) -> Run:
        run = external_runs.create(team=team, owner=owner, name="run", origin="test")
        params.store(run, values)
        RunTag.objects.bulk_create(RunTag(run=run, key=k, value=v) for k, v in (tags or {}).items())
        return run

    return make


def test_values_that_differ_are_apart_from_those_that_do_not(make_run):
    runs = [make_run(lr="0.1", seed="1"), make_run(lr="0.2", seed="1", extra="x")]
    found = find_differences(runs)
    assert found.differ == [("extra", [None, "x"]), ("lr", ["0.1", "0.2"])]
    assert found.same == [("seed", "1")]


def test_tags_come_last_under_a_prefix(make_run):
    runs = [make_run({"a": "1"}, z="1"), make_run({"a": "2"}, z="2")]
    assert [key for key, _ in find_differences(runs).differ] == ["z", "tag:a"]


def test_facets_make_groups_where_any_can(make_run):
    runs = [make_run(size=size, seed=seed) for size, seed in (("s", "1"), ("s", "2"), ("l", "3"))]
    found = find_differences(runs)
    assert found.facets["size"] == {runs[0].id: "s", runs[1].id: "s", runs[2].id: "l"}
    assert list(found.facets) == ["size", "seed"]
    assert found.groupable == ["size"]
    unique = [make_run(seed=str(number)) for number in range(3)]
    assert find_differences(unique).groupable == ["seed"]


def test_no_run_has_no_difference_and_more_runs_take_the_same_queries(make_run):
    found = find_differences([])
    assert (found.differ, found.same, found.facets) == ([], [], {})
    runs = [make_run(lr=str(number)) for number in range(4)]
    for some in (runs[:1], runs):
        with CaptureQueriesContext(connection) as seen:
            find_differences(some)
        assert len(seen) == 2

"""Counts of cases on the accuracy page, held against the tests and the database."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from jobs.models import Device
from jobs.verdicts import accuracy, case_counts, forecasts
from tests.engine.planner.public_runs import data
from tests.engine.verdict import test_generated_cases, test_read_metrics
from tests.jobs.finished_jobs import add_profile, finish_job

ROOT = Path(__file__).resolve().parents[3]
BY_SOURCE = {Path(one.source).stem: one for one in case_counts.ENGINE_CASES}


def test_each_row_names_a_test_that_exists_and_the_day_of_its_result():
    for one in case_counts.ENGINE_CASES:
        assert (ROOT / one.source).is_file(), one.source
        assert one.num_unseen <= one.count and "(2026-" in one.result


def test_numbers_are_those_of_the_tests():
    rows = data()["rows"]
    public = BY_SOURCE["test_public_configurations"]
    assert (public.count, public.num_unseen) == (len(rows), sum(row["half"] == "held_out" for row in rows))
    drawn = test_generated_cases.COUNT * len(test_generated_cases.SEEDS)
    assert BY_SOURCE["test_generated_cases"].count == drawn
    assert BY_SOURCE["test_read_metrics"].count == 2 * test_read_metrics.DRAWS * len(test_read_metrics.KINDS)


@pytest.mark.django_db
def test_a_configuration_is_unseen_once_for_each_kind_of_device(node, make_job):
    """Seed, name, learning rate and length change nothing that is predicted; layers, batch and layout do."""
    add_profile(Device.objects.get(id="a-0"))
    changes = [
        (), ("seed=7",), ("optimiser.learning_rate=0.01",), ("model.layers=3",), ("batch.micro_batch_size=1",),
        ("model.layers=3", "budget.steps=77"),
    ]  # fmt: skip
    runs = []
    for number, change in enumerate(changes):
        job = finish_job(make_job("precision.dtype=fp32", *change, name=f"run {number}"))
        forecasts.judge_all()
        runs.append(job.run.id)
    unseen = accuracy.find_unseen_runs()
    assert [run in unseen for run in runs] == [True, False, False, True, True, False]
    rows = accuracy.get_judged(accuracy.build_query(), lambda team: True)
    [summary] = accuracy.summarise([row for row in rows if row.field == "step_s"], ("field",))
    assert (summary.n, summary.num_unseen) == (6, 3) and summary.unseen_median is not None
    [database] = case_counts.count_database_cases(rows)
    assert (database.count, database.num_unseen) == (len(rows), sum(row.is_unseen for row in rows))
    assert timezone.now() - rows[0].judged_at < timedelta(minutes=5)

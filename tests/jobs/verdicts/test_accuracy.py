"""Errors of predictions, summarised by group."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.utils import timezone

from jobs.models import Device
from jobs.verdicts import accuracy, forecasts
from jobs.verdicts.accuracy import JudgedForecast, UnknownField
from tests.jobs.finished_jobs import add_profile, finish_job

FIGURE = JudgedForecast(
    run="r", name="run", field="step_s", device="H100", dtype="bf16", planner_version=3, low=0.9, point=1.1, high=1.3,
    raw=2.0, learnt_from=0, measured=1.0, num_steps=30, judged_at=timezone.now(),
)  # fmt: skip


def test_an_error_is_a_share_of_the_measured_figure():
    assert FIGURE.error == pytest.approx(0.1)
    assert FIGURE.raw_error == pytest.approx(1.0)
    assert FIGURE.is_within and not replace(FIGURE, measured=1.4).is_within


def test_a_summary_holds_medians_percentile_bias_and_share_within_the_range():
    points = [0.5, 0.8, 1.0, 1.2, 1.6]
    rows = [replace(FIGURE, point=point, low=point - 0.2, high=point + 0.2) for point in points]
    [found] = accuracy.summarise(rows, ("field",))
    assert (found.keys, found.n) == ({"field": "step_s"}, 5)
    assert (found.median, found.bias) == (pytest.approx(0.2), pytest.approx(0.0))
    assert found.p90 == pytest.approx(0.56)
    assert found.within == pytest.approx(0.6)
    assert (found.calibrated, found.num_calibrated) == (None, 0)
    assert found.raw_median == pytest.approx(1.0)


def test_corrected_plans_have_a_median_of_their_own():
    rows = [FIGURE, replace(FIGURE, point=1.02, learnt_from=4)]
    [found] = accuracy.summarise(rows, ("device",))
    assert (found.calibrated, found.num_calibrated) == (pytest.approx(0.02), 1)


def test_groups_are_ordered_by_the_table_of_fields_and_then_by_name():
    rows = [
        replace(FIGURE, field=field, device=device)
        for field in ("other_s", "step_s", "memory_bytes")
        for device in ("b", "a")
    ]
    found = [tuple(one.keys.values()) for one in accuracy.summarise(rows, ("field", "device"))]
    fields = ("memory_bytes", "step_s", "other_s")
    assert found == [(field, device) for field in fields for device in ("a", "b")]


@pytest.mark.parametrize(("field", "by"), [("nonsense", "field"), ("", "owner"), ("", ""), ("", ",")])
def test_an_unknown_field_or_group_is_refused_with_the_known_ones(field: str, by: str):
    with pytest.raises(UnknownField, match=r"planner_version.*memory_bytes"):
        accuracy.build_query(field, by)


@pytest.mark.django_db
def test_a_reader_sees_figures_of_all_teams_and_runs_of_their_own(node, make_job):
    add_profile(Device.objects.get(id="a-0"))
    job = finish_job(make_job("precision.dtype=fp32"))
    forecasts.judge_all()
    query = accuracy.build_query()
    own = accuracy.get_judged(query, {job.team_id}.__contains__)
    others = accuracy.get_judged(query, lambda team: False)
    assert {row.run for row in own} == {job.run.id}
    assert {(row.run, row.name) for row in others} == {("", accuracy.HIDDEN_NAME)}
    assert [row.measured for row in own] == [row.measured for row in others]
    assert {row.field for row in own} <= set(accuracy.HEADLINES)
    phases = accuracy.get_judged(accuracy.build_query(includes_phases=True), lambda team: True)
    assert len(phases) > len(own)
    assert (accuracy.count_judged_runs(), accuracy.judged_devices()) == (1, ["cpu share"])


@pytest.mark.django_db
def test_forecasts_of_a_run_are_listed_by_field_without_unknown_phases(node, make_job):
    job = finish_job(make_job())
    forecasts.judge_all()
    found = {one.field.name: one for one in accuracy.get_run_forecasts(job.run)}
    assert list(found)[:4] == list(accuracy.HEADLINES)
    assert found["step_s"].error is None and found["step_s"].is_within is None  # not predicted: never probed
    assert found["forward_s"].is_phase and found["forward_s"].row.measured
    assert "energy_j" in found and found["energy_j"].row.measured is None

"""Forecasts: stored before the start, judged at the end, learnt from."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from engine.planner import PLANNER_VERSION
from jobs.models import Correction, Device, Forecast, Job
from jobs.planning import calibration, plans
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState
from jobs.verdicts import forecasts
from tests.jobs.finished_jobs import MEASURED, add_profile, finish_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def known(node) -> None:
    """The node's devices have been probed."""
    add_profile(Device.objects.get(id="a-0"))


def get_forecasts(job: Job) -> dict[str, Forecast]:
    return {row.field: row for row in Forecast.objects.filter(run=job.run)}


def test_the_plan_is_kept_with_the_run_before_it_starts(known, make_job):
    plan = make_job("precision.dtype=fp32").run.plan
    assert plan["time"]["device"] == "cpu share"
    assert plan["time"]["standing"] == "measured"
    assert plan["raw"]["step_s"] == pytest.approx(plan["time"]["step_s"]["point"])
    assert plan["version"] == PLANNER_VERSION


def test_a_run_that_has_ended_is_judged_by_the_median_of_its_steady_steps(known, make_job):
    job = finish_job(make_job("precision.dtype=fp32"), joules_a_step=5.0)
    assert forecasts.judge_all() == 1
    rows = get_forecasts(job)
    assert rows.keys() == set(forecasts.BY_NAME)
    assert rows["step_s"].measured == pytest.approx(sum(MEASURED.values()))
    assert rows["step_s"].num_steps == 30
    assert rows["forward_s"].measured == pytest.approx(0.03)
    assert rows["tokens_per_s"].measured == pytest.approx(job.run.plan["tokens_per_step"] / 0.1)
    assert rows["tokens_per_s"].status == "derived"
    assert rows["memory_bytes"].measured == 600e6 + 1
    assert rows["energy_j"].measured == pytest.approx(5.0, rel=0.05)
    assert rows["step_s"].point == pytest.approx(job.run.plan["time"]["step_s"]["point"])
    assert rows["memory_bytes"].point == pytest.approx(job.run.plan["peak_bytes"])
    assert (rows["step_s"].device, rows["step_s"].planned_device) == ("cpu share", "cpu share")
    assert forecasts.judge_all() == 0


def test_unmeasured_figures_have_a_reason_and_are_not_zero(known, make_job):
    rows = get_forecasts(_judged(finish_job(make_job("precision.dtype=fp32"), rss_bytes=None)))
    assert (rows["energy_j"].measured, rows["energy_j"].status) == (None, "absent")
    assert "energy counter" in rows["energy_j"].reason
    assert "memory" in rows["memory_bytes"].reason
    few = get_forecasts(_judged(finish_job(make_job(name="short"), num_steps=6)))
    assert few["step_s"].measured is None
    assert "Only 4 steady steps" in few["step_s"].reason
    assert few["memory_bytes"].measured == 600e6 + 1


def test_an_unprobed_device_is_measured_but_not_predicted(node, make_job):
    row = get_forecasts(_judged(finish_job(make_job())))["step_s"]
    assert (row.point, row.raw) == (None, None)
    assert "not been probed" in row.why_not
    assert row.measured == pytest.approx(0.1)
    assert calibration.get_calibration("cpu share") is None or not [
        c for c in calibration.get_calibration("cpu share").corrections if c.phase != "memory"
    ]


def test_the_next_plan_is_corrected_by_the_first_run_and_the_first_keeps_its_own(known, make_job):
    first = make_job("precision.dtype=fp32")
    before = first.run.plan
    finish_job(first)
    forecasts.judge_all()
    second = make_job("precision.dtype=fp32", name="second")
    forward = second.run.plan["time"]["phases"]["forward_s"]
    assert forward["point"] == pytest.approx(0.03)
    assert forward["low"] < forward["point"] < forward["high"]  # one run does not make the next certain
    assert second.run.plan["raw"]["forward_s"] == pytest.approx(before["raw"]["forward_s"])
    assert second.run.plan["learnt_from"]["forward_s"] == 1
    first.run.refresh_from_db()
    assert (first.run.plan["time"], first.run.plan["raw"]) == (before["time"], before["raw"])
    assert get_forecasts(first)["forward_s"].learnt_from == 0
    finish_job(second)
    forecasts.judge_all()
    assert get_forecasts(second)["forward_s"].learnt_from == 1
    # Both sides without any correction: the second run teaches the same ratio again.
    correction = Correction.objects.get(phase="forward_s", dtype="fp32")
    assert correction.n == 2
    assert correction.ratio == pytest.approx(0.03 / before["raw"]["forward_s"])


def test_a_correction_is_the_median_with_its_spread(known, make_job):
    raw = 0.0
    for number, forward_s in enumerate([0.02, 0.03, 0.03, 0.04, 0.9]):
        job = make_job("precision.dtype=fp32", name=f"run {number}")
        raw = job.run.plan["raw"]["forward_s"]
        _judged(finish_job(job, MEASURED | {"forward_s": forward_s}))
    found = Correction.objects.get(phase="forward_s", dtype="fp32")
    assert (found.n, found.ratio) == (5, pytest.approx(0.03 / raw))
    assert found.low == pytest.approx(0.024 / raw, rel=0.05)
    assert found.high > 0.04 / raw


def test_times_of_a_contended_run_count_only_without_an_uncontended_one(known, make_job):
    def get_learnt() -> tuple[int, float, int]:
        forward, memory = (Correction.objects.get(phase=phase) for phase in ("forward_s", "memory"))
        return forward.n, forward.ratio, memory.n

    first = make_job("precision.dtype=fp32", name="beside others")
    raw = first.run.plan["raw"]["forward_s"]
    _judged(finish_job(first, MEASURED | {"forward_s": 0.3}, cpu_pressure_share=0.9))
    assert (
        get_forecasts(first)["forward_s"].is_contended
        and not get_forecasts(first)["memory_bytes"].is_contended
    )
    assert get_learnt() == (1, pytest.approx(0.3 / raw), 1)
    _judged(finish_job(make_job("precision.dtype=fp32", name="alone")))
    assert get_learnt() == (1, pytest.approx(0.03 / raw), 2)
    _judged(finish_job(make_job("precision.dtype=fp32", name="beside others again"), cpu_pressure_share=0.9))
    assert get_learnt() == (1, pytest.approx(0.03 / raw), 3)


def test_another_version_of_the_planner_learns_from_scratch(known, make_job):
    _judged(finish_job(make_job("precision.dtype=fp32")))
    Forecast.objects.update(planner_version=PLANNER_VERSION - 1)
    assert calibration.recompute_corrections() == 0
    assert calibration.get_calibration("cpu share") is None


def test_a_run_on_another_kind_of_device_than_planned_is_not_learnt_from(known, make_job):
    job = finish_job(make_job("precision.dtype=fp32"))
    Device.objects.update(name="other share")
    _judged(job)
    assert get_forecasts(job)["step_s"].device == "other share"
    assert Correction.objects.count() == 0


def test_a_run_that_was_retried_is_judged_by_its_last_end(known, make_job):
    job = _judged(finish_job(make_job("precision.dtype=fp32"), num_steps=12, to=AttemptState.FAILED))
    assert get_forecasts(job)["step_s"].num_steps == 8
    job_actions.retry(job, "olga")
    finish_job(Job.objects.get(id=job.id))
    assert forecasts.judge_all() == 1
    assert get_forecasts(job)["step_s"].num_steps > 8
    assert Forecast.objects.filter(run=job.run, field="step_s").count() == 1


def test_the_command_shows_and_recomputes(known, make_job, capsys):
    call_command("calibration")
    assert "No corrections yet" in capsys.readouterr().out
    _judged(finish_job(make_job("precision.dtype=fp32")))
    Correction.objects.all().delete()
    call_command("calibration", "--recompute")
    text = capsys.readouterr().out
    assert "cpu share  fp32" in text
    assert "n = 1" in text


def test_the_profile_of_a_pool_is_that_of_its_least_device(node, make_node, pool):
    assert plans.get_profile(pool) is None
    add_profile(Device.objects.get(id="a-0"), gflops=50)
    make_node("b", devices=1)
    Device.objects.filter(id="b-0").update(memory_bytes=2**30, name="small share")
    assert plans.get_profile(pool) is None  # the least one has not been probed
    add_profile(Device.objects.get(id="b-0"), gflops=20)
    profile = plans.get_profile(pool)
    assert (profile.name, profile.memory_bytes, profile.flops_per_s["fp32"]) == ("small share", 2**30, 20e9)


def test_an_unprobed_gpu_is_planned_by_its_table_row(make_node, pool):
    make_node("g", devices=2, kind="cuda")
    Device.objects.update(name="NVIDIA H200", memory_bytes=140 * 2**30)
    profile = plans.get_profile(pool)
    assert (profile.standing, profile.name, profile.memory_bytes) == ("estimated", "NVIDIA H200", 140 * 2**30)
    assert profile.flops_per_s["bf16"] == pytest.approx(989.4e12)


def _judged(job: Job) -> Job:
    forecasts.judge_all()
    return job


def test_memory_without_the_process_is_not_compared_with_resident_memory():
    stage = {"stage": 0, "parameters_bytes": 4e6, "framework_bytes": 0.0}
    found = forecasts.get_predictions({"peak_bytes": 4e6, "stages": [stage]})["memory_bytes"]
    assert (found["point"], found["why_not"]) == (None, forecasts.WITHOUT_PROCESS)
    found = forecasts.get_predictions({"peak_bytes": 3e8, "stages": [stage | {"framework_bytes": 2.9e8}]})
    assert found["memory_bytes"]["point"] == 3e8

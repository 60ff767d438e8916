"""Predicted against measured: kept from before the start, judged at the end, and what is learnt for the next."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from engine.planner import PLANNER_VERSION
from jobs.models import Correction, Device, Forecast, Job
from jobs.planning import calibration, plans
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState
from jobs.verdicts import forecasts
from tests.jobs.lived import MEASURED, lived, probed

pytestmark = pytest.mark.django_db


@pytest.fixture
def known(node) -> None:
    """The node's devices have been probed."""
    probed(Device.objects.get(id="a-0"))


def of(job: Job) -> dict[str, Forecast]:
    return {row.field: row for row in Forecast.objects.filter(run=job.run)}


def test_the_plan_is_kept_with_the_run_before_it_starts(known, make_job):
    plan = make_job("precision.dtype=fp32").run.plan
    assert plan["time"]["device"] == "cpu share"
    assert plan["time"]["standing"] == "measured"
    assert plan["raw"]["step_s"] == pytest.approx(plan["time"]["step_s"]["point"])
    assert plan["version"] == PLANNER_VERSION


def test_a_run_that_has_ended_is_judged_by_the_median_of_its_steady_steps(known, make_job):
    job = lived(make_job("precision.dtype=fp32"), joules_a_step=5.0)
    assert forecasts.judge_all() == 1
    rows = of(job)
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


def test_what_was_not_measured_says_why_and_is_not_nought(known, make_job):
    rows = of(_judged(lived(make_job("precision.dtype=fp32"), rss_bytes=None)))
    assert (rows["energy_j"].measured, rows["energy_j"].status) == (None, "absent")
    assert "energy counter" in rows["energy_j"].reason
    assert "memory" in rows["memory_bytes"].reason
    few = of(_judged(lived(make_job(name="short"), num_steps=6)))
    assert few["step_s"].measured is None
    assert "Only 4 steady steps" in few["step_s"].reason
    assert few["memory_bytes"].measured == 600e6 + 1


def test_a_device_that_nobody_has_probed_is_not_predicted_but_measured(node, make_job):
    row = of(_judged(lived(make_job())))["step_s"]
    assert (row.point, row.raw) == (None, None)
    assert "not been probed" in row.why_not
    assert row.measured == pytest.approx(0.1)
    assert calibration.of_device("cpu share") is None or not [
        c for c in calibration.of_device("cpu share").corrections if c.phase != "memory"
    ]


def test_the_next_plan_is_put_right_by_what_the_first_run_taught_and_the_first_keeps_its_own(known, make_job):
    first = make_job("precision.dtype=fp32")
    before = first.run.plan
    lived(first)
    forecasts.judge_all()
    second = make_job("precision.dtype=fp32", name="second")
    forward = second.run.plan["time"]["phases"]["forward_s"]
    assert forward["point"] == pytest.approx(0.03)
    assert forward["low"] < forward["point"] < forward["high"]  # one run is not sure of the next
    assert second.run.plan["raw"]["forward_s"] == pytest.approx(before["raw"]["forward_s"])
    assert second.run.plan["learnt_from"]["forward_s"] == 1
    first.run.refresh_from_db()
    assert (first.run.plan["time"], first.run.plan["raw"]) == (before["time"], before["raw"])
    assert of(first)["forward_s"].learnt_from == 0
    lived(second)
    forecasts.judge_all()
    assert of(second)["forward_s"].learnt_from == 1
    # Both sides without any correction: the second run teaches the same ratio again.
    correction = Correction.objects.get(phase="forward_s", dtype="fp32")
    assert correction.n == 2
    assert correction.ratio == pytest.approx(0.03 / before["raw"]["forward_s"])


def test_a_correction_is_the_median_with_its_spread(known, make_job):
    raw = 0.0
    for number, forward_s in enumerate([0.02, 0.03, 0.03, 0.04, 0.9]):
        job = make_job("precision.dtype=fp32", name=f"run {number}")
        raw = job.run.plan["raw"]["forward_s"]
        _judged(lived(job, MEASURED | {"forward_s": forward_s}))
    found = Correction.objects.get(phase="forward_s", dtype="fp32")
    assert (found.n, found.ratio) == (5, pytest.approx(0.03 / raw))
    assert found.low == pytest.approx(0.024 / raw, rel=0.05)
    assert found.high > 0.04 / raw


def test_times_of_a_contended_run_teach_only_where_no_quieter_run_has(known, make_job):
    def taught() -> tuple[int, float, int]:
        forward, memory = (Correction.objects.get(phase=phase) for phase in ("forward_s", "memory"))
        return forward.n, forward.ratio, memory.n

    first = make_job("precision.dtype=fp32", name="beside others")
    raw = first.run.plan["raw"]["forward_s"]
    _judged(lived(first, MEASURED | {"forward_s": 0.3}, cpu_pressure_share=0.9))
    assert of(first)["forward_s"].is_contended and not of(first)["memory_bytes"].is_contended
    assert taught() == (1, pytest.approx(0.3 / raw), 1)
    _judged(lived(make_job("precision.dtype=fp32", name="alone")))
    assert taught() == (1, pytest.approx(0.03 / raw), 2)
    _judged(lived(make_job("precision.dtype=fp32", name="beside others again"), cpu_pressure_share=0.9))
    assert taught() == (1, pytest.approx(0.03 / raw), 3)


def test_another_version_of_the_planner_learns_anew(known, make_job):
    _judged(lived(make_job("precision.dtype=fp32")))
    Forecast.objects.update(planner_version=PLANNER_VERSION - 1)
    assert calibration.recompute() == 0
    assert calibration.of_device("cpu share") is None


def test_a_run_on_another_kind_of_device_than_it_was_planned_for_teaches_nothing(known, make_job):
    job = lived(make_job("precision.dtype=fp32"))
    Device.objects.update(name="other share")
    _judged(job)
    assert of(job)["step_s"].device == "other share"
    assert Correction.objects.count() == 0


def test_a_run_that_was_retried_is_judged_by_its_last_end(known, make_job):
    job = _judged(lived(make_job("precision.dtype=fp32"), num_steps=12, to=AttemptState.FAILED))
    assert of(job)["step_s"].num_steps == 8
    job_actions.retry(job, "olga")
    lived(Job.objects.get(id=job.id))
    assert forecasts.judge_all() == 1
    assert of(job)["step_s"].num_steps > 8
    assert Forecast.objects.filter(run=job.run, field="step_s").count() == 1


def test_the_command_shows_and_learns_anew(known, make_job, capsys):
    call_command("calibration")
    assert "No corrections yet" in capsys.readouterr().out
    _judged(lived(make_job("precision.dtype=fp32")))
    Correction.objects.all().delete()
    call_command("calibration", "--recompute")
    text = capsys.readouterr().out
    assert "cpu share  fp32" in text
    assert "n = 1" in text


def test_the_profile_of_a_pool_is_that_of_its_least_device(node, make_node, pool):
    assert plans.profile_of(pool) is None
    probed(Device.objects.get(id="a-0"), gflops=50)
    make_node("b", devices=1)
    Device.objects.filter(id="b-0").update(memory_bytes=2**30, name="small share")
    assert plans.profile_of(pool) is None  # the least one has not been probed
    probed(Device.objects.get(id="b-0"), gflops=20)
    profile = plans.profile_of(pool)
    assert (profile.name, profile.memory_bytes, profile.flops_per_s["fp32"]) == ("small share", 2**30, 20e9)


def test_a_gpu_that_nobody_has_probed_is_planned_by_its_table_row(make_node, pool):
    make_node("g", devices=2, kind="cuda")
    Device.objects.update(name="NVIDIA H200", memory_bytes=140 * 2**30)
    profile = plans.profile_of(pool)
    assert (profile.standing, profile.name, profile.memory_bytes) == ("estimated", "NVIDIA H200", 140 * 2**30)
    assert profile.flops_per_s["bf16"] == pytest.approx(989.4e12)


def _judged(job: Job) -> Job:
    forecasts.judge_all()
    return job


def test_memory_without_the_process_itself_is_not_held_against_what_is_resident():
    stage = {"stage": 0, "parameters_bytes": 4e6, "framework_bytes": 0.0}
    found = forecasts.predictions({"peak_bytes": 4e6, "stages": [stage]})["memory_bytes"]
    assert (found["point"], found["why_not"]) == (None, forecasts.WITHOUT_PROCESS)
    found = forecasts.predictions({"peak_bytes": 3e8, "stages": [stage | {"framework_bytes": 2.9e8}]})
    assert found["memory_bytes"]["point"] == 3e8

"""Finished runs and fabric tests, with the points that their ranks measured."""

from __future__ import annotations

from collections.abc import Mapping

from engine.hardware.fabric_test import ALGORITHMS, MAX_SIZES, bus_bytes_per_s, message_sizes, total_bytes
from engine.hardware.probe_results import PROBE_VERSION, MeasuredFigure, ProbeReport
from jobs import series
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, Device, DeviceProfile, Job
from jobs.planning import device_profiles
from jobs.series import Point
from jobs.states.jobs import AttemptState, Cause, JobState
from jobs.verdicts import forecasts
from tests.jobs.placed_jobs import assign

MEASURED = {
    "data_wait_s": 0.001, "forward_s": 0.03, "backward_s": 0.06, "communication_s": 0.004, "optimiser_s": 0.004,
    "other_s": 0.001,
}  # fmt: skip
NUM_STEPS = 40
LATENCY_S, BYTES_PER_S = 40e-6, 2e9  # of links


def add_profile(device: Device, gflops: float = 50.0) -> DeviceProfile:
    """Store a profile of the device, as a probe does."""
    figures = {
        "gemm_fp32_flops_per_s": MeasuredFigure(gflops * 1e9, 0.9 * gflops * 1e9, 1.1 * gflops * 1e9, 9),
        "copy_bytes_per_s": MeasuredFigure(12e9, 11e9, 13e9, 9),
        "optimiser_bytes_per_s": MeasuredFigure(10e9, 9e9, 11e9, 9),
        "launch_s": MeasuredFigure(2.5e-6, 2.4e-6, 2.7e-6, 9),
    }
    return device_profiles.store_probe(
        device, ProbeReport(PROBE_VERSION, "2.13.0+cpu", "cpu", 1, 8.0, figures, {}, {})
    )


def finish_job(
    job: Job,
    phases: Mapping[str, float] = MEASURED,
    *,
    num_steps: int = NUM_STEPS,
    rss_bytes: float | None = 600e6,
    joules_a_step: float | None = None,
    cpu_pressure_share: float = 0.0,
    to: str = AttemptState.SUCCEEDED,
) -> Job:
    """Run the job to its end. Its steps take the sum of `phases`; the first ten take three times as long."""
    attempt, run = assign(job), job.run
    Attempt.objects.filter(id=attempt.id).update(state=AttemptState.RUNNING)
    Job.objects.filter(id=job.id).update(state=JobState.RUNNING, step=num_steps)
    step_s, points = sum(phases.values()), []
    tokens = run.plan["tokens_per_step"]
    for step in range(1, num_steps + 1):
        at, slow = 1e9 + step * step_s, 3.0 if step <= forecasts.WARM_UP_STEPS else 1.0
        points += [
            Point("step_s", "run", step, at, slow * step_s),
            Point("tokens", "run", step, at, tokens * step),
        ]
        for rank in range(job.num_devices):
            points += [Point(name, f"rank{rank}", step, at, slow * value) for name, value in phases.items()]
            if rss_bytes is not None:
                points.append(Point("rss_bytes", f"rank{rank}", step, at, rss_bytes + rank))
        points.append(Point("cpu_pressure_share", "device:a-0", None, at, cpu_pressure_share))
        if joules_a_step is not None:
            points.append(Point("energy_j", "device:a-0", None, at, joules_a_step * step))
    series.append(run.id, attempt.number, "rank0.jsonl", 0, points)
    end_attempt(attempt, to, "it ended", Cause.DONE if to == AttemptState.SUCCEEDED else Cause.WORKLOAD)
    job.refresh_from_db()
    return job


def finish_fabric_test(
    job: Job, num_sizes: int = MAX_SIZES, bytes_per_s: float = BYTES_PER_S, to: str = AttemptState.SUCCEEDED
) -> Job:
    """Run a fabric test to its end, with links of LATENCY_S and `bytes_per_s`."""
    attempt, points = assign(job), []
    Attempt.objects.filter(id=attempt.id).update(state=AttemptState.RUNNING)
    Job.objects.filter(id=job.id).update(state=JobState.RUNNING, step=num_sizes)
    for step, size in enumerate(message_sizes(num_sizes), start=1):
        found = {"message_bytes": float(size)}
        for one in ALGORITHMS[:-1]:
            whole = total_bytes(one, 2, size)
            seconds = one.hops(2) * LATENCY_S + one.share(2) * whole / bytes_per_s
            found[f"{one.name}_s"] = seconds
            found[f"{one.name}_bus_bytes_per_s"] = bus_bytes_per_s(one, 2, size, seconds)
            if one.sent:
                found[f"{one.name}_sent_bytes"] = one.sent(2) * size
        points += [Point(name, "run", step, 1e9 + step, value) for name, value in found.items()]
    series.append(job.run.id, attempt.number, "rank0.jsonl", 0, points)
    end_attempt(attempt, to, "it ended", Cause.DONE if to == AttemptState.SUCCEEDED else Cause.WORKLOAD)
    forecasts.judge_all()
    return Job.objects.get(id=job.id)

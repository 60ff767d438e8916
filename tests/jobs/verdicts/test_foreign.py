"""Verdicts of runs that Fourwalls did not launch: generated scripts, hosts and causes."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from engine.verdict.rule import ClockRule
from engine.verdict.rules import BY_ID
from jobs import ledger, series, verdicts
from jobs.models import Run
from jobs.series import Point
from jobs.tracking import clocks, external_runs
from jobs.tracking.external_runs import TrackingError

SEED, CASES, STEPS = 20261201, 60, 60
BEGAN_AT = 1.79e9
PHASES = {
    "data_wait_s": 0.002, "forward_s": 0.03, "backward_s": 0.05, "optimiser_s": 0.008,
}  # fmt: skip
CPU, GPU = "device:cpu-0a-0", "device:GPU-0a"
# cause -> more seconds by phase, more seconds a step by part of the clock, readings of the CPU, of the GPU
CAUSES = {
    "input": ({"data_wait_s": 0.09}, {}, {}, {"utilisation_pct": 40.0}),
    "host": ({"other_s": 0.08}, {}, {}, {}),
    "validation": ({}, {"validation": 0.08}, {}, {}),
    "checkpoints": ({}, {"checkpoint": 0.08}, {}, {}),
    "recording": ({}, {"recording": 0.08}, {}, {}),
    "between_steps": ({}, {"between_steps": 0.08}, {}, {}),
    "quota": ({}, {}, {"cpu_throttle_share": 0.5}, {}),
    "swapping": ({}, {}, {"memory_pressure_share": 0.5, "cores_used": 0.4}, {}),
    "io_pressure": ({}, {}, {"io_pressure_share": 0.5, "cores_used": 0.4}, {}),
    "idle": ({}, {}, {}, {"utilisation_pct": 15.0}),
    "compute": ({}, {}, {}, {}),
}


@pytest.fixture
def run(team, owner) -> Run:
    return external_runs.create(team=team, owner=owner, name="script", origin="fourwalls")


def write_run(
    run: Run, rng: random.Random, cause: str, *, has_gpu: bool, phases: dict[str, float] = PHASES
) -> None:
    slower, between, cpu, gpu = CAUSES[cause]
    at, points, parts = BEGAN_AT + 2, [], {"build": 2.0}
    for step in range(STEPS):
        seconds = {name: value * rng.uniform(0.95, 1.05) for name, value in (phases | slower).items()}
        step_s = sum(seconds.values())
        at += step_s
        points.append(Point("step_s", "run", step, at, step_s))
        points += [Point(name, "rank0", step, at, value) for name, value in seconds.items()]
        part = "step" if step else "first_step"
        parts[part] = parts.get(part, 0.0) + step_s
        for name, value in between.items():
            at += value
            parts[name] = parts.get(name, 0.0) + value
    quiet = {"cpu_throttle_share": 0.0, "memory_pressure_share": 0.0, "io_pressure_share": 0.0,
             "cpu_pressure_share": 0.02, "cores_used": 1.0}  # fmt: skip
    readings = {CPU: quiet | cpu} | (
        {GPU: {"utilisation_pct": 97.0, "power_w": 400.0} | gpu} if has_gpu else {}
    )
    for source, values in readings.items():
        points += [
            Point(name, source, None, BEGAN_AT + second, value * rng.uniform(0.97, 1.0))
            for second in range(int(at - BEGAN_AT) + 1)
            for name, value in values.items()
        ]
    series.append(run.id, 1, "api:x.0", 0, points)
    devices = [{"id": CPU[7:], "kind": "cpu", "name": "EPYC", "index": 0, "memory_bytes": 2**35},
               {"id": GPU[7:], "kind": "cuda", "name": "H200", "index": 0, "memory_bytes": 2**37}]  # fmt: skip
    clocks.store_host(run, "box", {"threads": 1}, devices[: 1 + has_gpu])
    clocks.store_clock(run, "x.0", began_at=BEGAN_AT, at=at, seconds=parts, steps=STEPS, is_final=True)
    external_runs.set_state(run, "succeeded", actor="x", ended_at=datetime.fromtimestamp(at, UTC))


@pytest.mark.parametrize("case", range(CASES))
def test_a_drawn_cause_is_named(case, run):
    rng = random.Random(SEED + case)
    has_gpu = rng.random() < 0.5
    causes = [name for name in CAUSES if name != "idle" or has_gpu]
    cause = causes[case % len(causes)]
    write_run(run, rng, cause, has_gpu=has_gpu)
    verdict = verdicts.get_current(run)
    assert verdict.name == cause, (has_gpu, verdict.body["sentence"], verdict.body["nothing"])
    assert cause != "compute" or verdict.severity != "strong"
    assert not [one for one in verdict.body["remedies"] if one["gain_share"] is not None or one["changes"]]
    found = ledger.build_ledger(run)
    assert found and sum(found.seconds.values()) == pytest.approx(found.held_s, rel=0.01)
    assert isinstance(BY_ID[cause], ClockRule) == bool(CAUSES[cause][1])


def test_waits_that_a_busy_gpu_hides_are_not_claimed(run):
    write_run(run, random.Random(1), "compute", has_gpu=True, phases=PHASES | {"data_wait_s": 0.09})
    assert verdicts.get_current(run).name == "compute"


def test_a_contended_host_is_named_beside_the_verdict(run):
    CAUSES["contended"] = ({}, {}, {"cpu_pressure_share": 0.7, "cores_used": 0.9}, {})
    try:
        write_run(run, random.Random(2), "contended", has_gpu=False)
    finally:
        del CAUSES["contended"]
    verdict = verdicts.get_current(run)
    assert "contended" in [state["rule"] for state in verdict.body["states"]] and verdict.is_provisional


def test_a_step_that_is_marked_in_part_is_not_called_compute(run):
    write_run(run, random.Random(3), "compute", has_gpu=False, phases={"data_wait_s": 0.002})
    series.append(
        run.id, 1, "api:y", 0, [Point("step_s", "run", step, BEGAN_AT + 99, 0.1) for step in range(STEPS)]
    )
    verdict = verdicts.get_current(run)
    assert verdict.name == "" and "in no phase" in verdict.body["nothing"]


def test_a_verdict_is_renewed_when_the_script_sends_more(run):
    first = verdicts.get_current(run)
    assert not first.is_final and "marks no steps" in first.body["nothing"]
    write_run(run, random.Random(4), "input", has_gpu=False)
    run.refresh_from_db()
    assert verdicts.get_current(run).is_final and verdicts.get_current(run).name == "input"


@pytest.mark.parametrize(
    ("clock", "problem"),
    [
        ({"seconds": {"step": 5.0}}, "add up"),
        ({"seconds": {"magic": 10.0}}, "no part"),
        ({"at": BEGAN_AT - 5, "seconds": {}}, "ends after"),
        ({"seconds": {"step": float("nan")}}, "finite"),
    ],
)
def test_a_clock_that_does_not_add_up_is_refused(clock, problem, run):
    with pytest.raises(TrackingError, match=problem):
        clocks.store_clock(run, "x.0", **({"began_at": BEGAN_AT, "at": BEGAN_AT + 10} | clock))


def test_an_older_report_changes_nothing_and_attempts_are_in_order(run):
    for stream, begin, end in (("b.0", 100.0, 130.0), ("a.0", 0.0, 60.0)):
        clocks.store_clock(run, stream, began_at=begin, at=end, seconds={"unmarked": end - begin})
    clocks.store_clock(run, "b.0", began_at=100.0, at=110.0, seconds={"unmarked": 10.0})
    found = ledger.build_ledger(run)
    assert [attempt.held_s for attempt in found.attempts] == [60, 30] and found.waited_s == {"over": 40}
    assert found.goodput_share is None and "marks no steps" in found.attempts[0].note


def test_a_script_that_was_killed_leaves_its_end_unexplained(run):
    clocks.store_clock(run, "a.0", began_at=BEGAN_AT, at=BEGAN_AT + 60, seconds={"step": 60.0}, steps=9)
    external_runs.set_state(run, "failed", actor="x", ended_at=datetime.fromtimestamp(BEGAN_AT + 75, UTC))
    (attempt,) = ledger.build_ledger(run).attempts
    assert attempt.seconds == {"step": pytest.approx(60), "unexplained": pytest.approx(15)}

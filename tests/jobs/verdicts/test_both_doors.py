"""The web side and `python -m engine judge` give one attempt the same verdict."""

from __future__ import annotations

import json
import random
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.utils import timezone

from engine.__main__ import main
from engine.directory import AttemptDirectory, SupervisorState
from engine.telemetry.wire import SpoolLine
from engine.verdict.attempt_facts import read_attempt_facts
from engine.verdict.judge import Verdict, judge
from jobs.agent.follow import follow
from jobs.attempts.ingest import ingest
from jobs.models import Attempt, Device, Job
from jobs.planning import plans
from jobs.verdicts import get_verdicts, judge_run
from tests.jobs.fake_supervisor import DEAD_PID, make_checkpoint, write_spool
from tests.jobs.finished_jobs import add_profile
from tests.jobs.placed_jobs import claim
from tests.jobs.verdicts.recording import WORK

pytestmark = pytest.mark.django_db

STEPS = 40
CAUSES = {
    "input": ({"data_wait_s": 0.08}, {}, {}),
    "host": ({"other_s": 0.07}, {}, {}),
    "optimiser": ({"optimiser_s": 0.2}, {}, {}),
    "validation": ({}, {"validation": 9.0}, {}),
    "recording": ({}, {"recording": 5.0}, {}),
    "start_up": ({}, {"data": 90.0}, {}),
    "quota": ({}, {}, {"cpu_throttle_share": 0.45, "cores_used": 0.5}),
    "io_pressure": ({}, {}, {"io_pressure_share": 0.4, "cores_used": 0.55}),
    "swapping": ({}, {}, {"memory_pressure_share": 0.4, "io_pressure_share": 0.4, "cores_used": 0.55}),
    "compute": ({}, {}, {"cores_used": 1.0}),
}


def write_attempt_spool(
    directory: AttemptDirectory, rng: random.Random, slower: dict, clock: dict, readings: dict, *, after: int = 0,
    begin: float | None = None,
) -> tuple[float, float]:  # fmt: skip
    """Steps of one process after those of `after`, and its clock; returns when it began and its newest record."""
    begin = time.time() if begin is None else begin
    at = begin
    seats = directory.read_placement().seats
    spent = 0.0
    for step in range(after + 1, after + STEPS + 1):
        phases = {name: value * rng.uniform(0.97, 1.03) for name, value in (WORK | slower).items()}
        step_s = sum(phases.values())
        spent += step_s if step > after + 1 else 0.0
        at += step_s
        lines = [SpoolLine("step", at, "run", step=step, metrics={"step_s": step_s, "loss": 2.0})]
        for seat in seats:
            metrics = phases | {"collective_bytes": 1e6}
            lines.append(SpoolLine("step", at, f"rank{seat.rank}", step=step, metrics=metrics))
            lines.append(SpoolLine("device", at, f"device:{seat.device}", metrics=readings))
        write_spool(directory, *lines)
    seconds = {"imports": 0.5, "first_step": 0.1, "step": spent} | clock
    at = max(at, begin + sum(seconds.values()))
    write_spool(directory, SpoolLine("clock", at, "rank0", step=after + STEPS, metrics=seconds, number=after))
    return begin, at


def write_end(attempt: Attempt, directory: AttemptDirectory, begin: float, at: float, **end: Any) -> None:
    """The end of an attempt as its supervisor leaves it, read by the agent."""
    state = SupervisorState(
        end["state"], DEAD_PID, 0.0, begin, at, reason=end["reason"], cause=end["cause"], ended_at=at
    )
    directory.write_state(state)
    assert not follow(attempt, None)
    times = {
        name: datetime.fromtimestamp(value, UTC) for name, value in (("assigned_at", begin), ("ended_at", at))
    }
    Attempt.objects.filter(id=attempt.id).update(**times)


def assert_same(job: Job, directory: AttemptDirectory) -> Verdict:
    """The stored verdict of the page, and what the command prints."""
    job.refresh_from_db()
    judge_run(job.run)
    of_run, of_folder = get_verdicts([job.run.id])[job.run.id], judge(read_attempt_facts(directory))
    assert (of_folder.rules, of_folder.severity) == (of_run.rules, of_run.severity)
    assert of_folder.share == pytest.approx(of_run.share, abs=0.01)
    shares = ({one.rule: one.share for one in verdict.findings} for verdict in (of_folder, of_run))
    assert next(shares) == pytest.approx(next(shares), abs=0.01)
    states = [
        [(one.rule, re.sub(r"\d+ s", "s", one.sentence)) for one in v.states] for v in (of_folder, of_run)
    ]
    assert states[0] == states[1]
    assert of_folder.provisional == of_run.provisional
    assert [(one.id, one.changes) for one in of_folder.remedies] == [
        (one.id, one.changes) for one in of_run.remedies
    ]
    for own, other in zip(of_folder.remedies, of_run.remedies, strict=True):
        assert own.gain_share == pytest.approx(other.gain_share, abs=0.01), own.id
        assert own.message == other.message
    return of_run


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_folder_has_the_verdict_of_the_run(cause: str, ranks: int, make_job, settings):
    job = make_job("parallel.zero_stage=0", devices=ranks)
    attempt, directory = claim(job, settings.NODE_DIR)
    write_attempt_spool(directory, random.Random(f"{cause} {ranks}"), *CAUSES[cause])
    ingest(attempt)
    verdict = assert_same(job, directory)
    assert cause in verdict.rules or (cause == "compute" and verdict.severity != "strong")


ENDS = (
    {"state": "stopped", "reason": "the agent was silent", "cause": "agent_silent"},
    {"state": "failed", "reason": "The supervisor (pid 7) died without a report.", "cause": "supervisor"},
    {"state": "failed", "reason": "rank 0 ended with 1: CUDA error: uncorrectable ECC", "cause": "workload"},
    {"state": "failed", "reason": "rank 0 ended with 1: CUDA out of memory", "cause": "workload"},
    {"state": "succeeded", "reason": "all steps done", "cause": "done"},
)
NOTES = ("Xid 79: the GPU has fallen off the bus.", "Xid 13: an exception in a kernel of the program.")


@pytest.mark.parametrize("seed", range(16))
def test_generated_histories_are_the_same_by_both_doors(seed: int, make_job, node, settings):
    """Random causes, one to three attempts, checkpoints, kills, faults, and devices with and without a probe."""
    rng = random.Random(f"20261201 {seed}")
    ranks, slower = rng.choice((1, 2)), rng.choice(sorted(CAUSES))
    if rng.random() < 0.6:
        add_profile(Device.objects.get(id="a-0"))
    micro = rng.choice((1, 2, 4))
    job = make_job(
        "parallel.zero_stage=0", f"batch.micro_batch_size={micro}", f"batch.global_batch_size={8 * ranks}",
        "budget.checkpoint_every=10", devices=ranks,
    )  # fmt: skip
    if rng.random() < 0.3:
        Job.objects.filter(id=job.id).update(submitted_at=timezone.now() - timedelta(seconds=900))
    after, begin = 0, time.time()
    for number in range(rng.choice((1, 2, 3)), 0, -1):
        attempt, directory = claim(job, settings.NODE_DIR)
        begin, at = write_attempt_spool(directory, rng, *CAUSES[slower], after=after, begin=begin)
        directory.write_placement(msgspec.structs.replace(directory.read_placement(), assigned_at=begin))
        if rng.random() < 0.3:
            device = directory.read_placement().seats[0].device
            text = f"Device {device}: {rng.choice(NOTES)}"
            write_spool(directory, SpoolLine("note", at, f"device:{device}", text=text, level="error"))
        if number > 1:
            after += rng.choice((10, 20, 30))
            write_spool(directory, make_checkpoint(directory, after))
            write_end(attempt, directory, begin, at, **ENDS[rng.choice((0, 1))])
            job.refresh_from_db()
            begin = at + 1
    if rng.random() < 0.7:
        write_end(attempt, directory, begin, at, **rng.choice(ENDS))
    else:
        ingest(attempt)
        Attempt.objects.filter(id=attempt.id).update(assigned_at=datetime.fromtimestamp(begin, UTC))
    assert_same(job, directory)


def test_the_folder_has_the_profile_of_the_pool_and_device_overrides_it(make_job, node, settings, capsys):
    add_profile(Device.objects.get(id="a-0"))
    attempt, directory = claim(make_job("parallel.zero_stage=0", devices=2), settings.NODE_DIR)
    write_attempt_spool(directory, random.Random(3), *CAUSES["compute"])
    facts = read_attempt_facts(directory)
    assert facts.profile == plans.get_profile(attempt.job.pool)
    assert [device.capacity_bytes for device in facts.devices] == [
        device.memory_bytes for device in Device.objects.filter(leases__attempt=attempt).order_by("index")
    ]
    assert main(["judge", str(directory.path), "--device", "H100 SXM", "--json"]) == 0
    named = json.loads(capsys.readouterr().out)
    assert named["explained_share"] != judge(facts).explained_share
    assert main(["judge", str(directory.path), "--device", "H100 SMX"]) == 2
    assert "Did you mean" in capsys.readouterr().err

"""The web side and `python -m engine judge` give one attempt the same verdict."""

from __future__ import annotations

import random
import time

import pytest

from engine.directory import AttemptDirectory
from engine.telemetry.wire import SpoolLine
from engine.verdict.attempt_facts import read_attempt_facts
from engine.verdict.judge import judge
from jobs.attempts.ingest import ingest
from jobs.verdicts.gather import collect_facts
from tests.jobs.fake_supervisor import write_spool
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
    directory: AttemptDirectory, rng: random.Random, slower: dict, clock: dict, readings: dict
) -> None:
    at = time.time()
    seats = directory.read_placement().seats
    spent = 0.0
    for step in range(1, STEPS + 1):
        phases = {name: value * rng.uniform(0.97, 1.03) for name, value in (WORK | slower).items()}
        step_s = sum(phases.values())
        spent += step_s if step > 1 else 0.0
        at += step_s
        lines = [SpoolLine("step", at, "run", step=step, metrics={"step_s": step_s, "loss": 2.0})]
        for seat in seats:
            metrics = phases | {"collective_bytes": 1e6}
            lines.append(SpoolLine("step", at, f"rank{seat.rank}", step=step, metrics=metrics))
            lines.append(SpoolLine("device", at, f"device:{seat.device}", metrics=readings))
        write_spool(directory, *lines)
    seconds = {"imports": 0.5, "first_step": 0.1, "step": spent} | clock
    write_spool(directory, SpoolLine("clock", at, "rank0", step=STEPS, metrics=seconds, number=0))


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_folder_has_the_verdict_of_the_run(cause: str, ranks: int, make_job, settings):
    job = make_job("parallel.zero_stage=0", devices=ranks)
    attempt, directory = claim(job, settings.NODE_DIR)
    write_attempt_spool(directory, random.Random(f"{cause} {ranks}"), *CAUSES[cause])
    ingest(attempt)
    job.refresh_from_db()
    of_run, of_folder = judge(collect_facts(job.run)), judge(read_attempt_facts(directory))
    assert cause in of_run.rules or (cause == "compute" and of_run.severity != "strong")
    assert (of_folder.rules, of_folder.severity) == (of_run.rules, of_run.severity)
    assert of_folder.share == pytest.approx(of_run.share, abs=0.01)
    assert {one.rule for one in of_folder.findings} == {one.rule for one in of_run.findings}
    assert [one.id for one in of_folder.remedies] == [one.id for one in of_run.remedies]

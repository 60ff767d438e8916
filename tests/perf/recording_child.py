"""Time of training steps, and of their telemetry alone, in one process."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from pathlib import Path

from engine.directory import AttemptDirectory
from engine.rank.measure.breakdown import Breakdown
from engine.rank.measure.timers import HostTimers
from engine.rank.parallel.collectives import Payload
from engine.rank.run.loop import build_training_batches, take_step
from engine.rank.run.session import TrainingSession
from engine.rank.run.start import open_session
from engine.rank.run.step_metrics import StepMetrics
from engine.supervisor.environment import free_port

STEPS, WARM_UP, REPEATS = 10, 3, 2000


def main() -> None:
    os.environ["MASTER_PORT"] = str(free_port("127.0.0.1"))
    session = open_session(AttemptDirectory(Path(sys.argv[1])), 0, time.perf_counter())
    source, step_metrics = build_training_batches(session), StepMetrics(session)
    seconds = []
    for number in range(WARM_UP + STEPS):
        start = time.perf_counter()
        take_step(session, source, step_metrics, number, False)
        seconds.append(time.perf_counter() - start)
    answer = {"step_s": statistics.median(seconds[WARM_UP:]), "telemetry_s": telemetry_s(session)}
    sys.stderr.write(f"RESULT {json.dumps(answer)}\n")


def telemetry_s(session: TrainingSession) -> float:
    """Seconds a step spends in telemetry alone: its marks, step_metrics and lines, around no work at all."""
    breakdown, step_metrics = Breakdown(HostTimers()), StepMetrics(session)
    payload = Payload("all_reduce", "all_reduce_bytes", 0)
    start = time.perf_counter()
    for number in range(REPEATS):
        breakdown.begin()
        for _ in range(session.spec.accumulation):
            for name in ("data_wait_s", "forward_s", "backward_s", "optimiser_s"):
                with breakdown.phase(name), breakdown.communication(payload):
                    pass
        session.tracer.poll_request()
        step_s = breakdown.end(number, step_metrics.rank_metrics())
        rank_metrics = [(step.number, metrics) for step, metrics in breakdown.pop_completed()]
        session.recorder.step(number, step_metrics.run_metrics(1, 1.0, 1.0, 1.0, step_s), rank_metrics, {})
    return (time.perf_counter() - start) / REPEATS


if __name__ == "__main__":
    main()

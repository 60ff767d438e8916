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
from engine.rank.measure.timers import HostMarks
from engine.rank.parallel.collectives import Payload
from engine.rank.run.loop import take_step, training_batches
from engine.rank.run.session import Session
from engine.rank.run.start import open_session
from engine.rank.run.step_metrics import Readings
from engine.supervisor.environment import free_port

STEPS, WARM_UP, REPEATS = 10, 3, 2000


def main() -> None:
    os.environ["MASTER_PORT"] = str(free_port("127.0.0.1"))
    session = open_session(AttemptDirectory(Path(sys.argv[1])), 0, time.perf_counter())
    source, readings = training_batches(session), Readings(session)
    seconds = []
    for number in range(WARM_UP + STEPS):
        start = time.perf_counter()
        take_step(session, source, readings, number, False)
        seconds.append(time.perf_counter() - start)
    answer = {"step_s": statistics.median(seconds[WARM_UP:]), "telemetry_s": telemetry_s(session)}
    sys.stderr.write(f"RESULT {json.dumps(answer)}\n")


def telemetry_s(session: Session) -> float:
    """Seconds per step of telemetry alone: timers, step metrics and lines, without any work."""
    breakdown, readings = Breakdown(HostMarks()), Readings(session)
    payload = Payload("all_reduce", "all_reduce_bytes", 0)
    start = time.perf_counter()
    for number in range(REPEATS):
        breakdown.begin()
        for _ in range(session.spec.accumulation):
            for name in ("data_wait_s", "forward_s", "backward_s", "optimiser_s"):
                with breakdown.phase(name), breakdown.communication(payload):
                    pass
        session.tracer.asked()
        step_s = breakdown.end(number, readings.of_rank())
        of_rank = [(step.number, metrics) for step, metrics in breakdown.finished()]
        session.recorder.step(number, readings.of_run(1, 1.0, 1.0, 1.0, step_s), of_rank, {})
    return (time.perf_counter() - start) / REPEATS


if __name__ == "__main__":
    main()

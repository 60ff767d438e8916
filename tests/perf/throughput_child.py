"""Steps of our loop, of our loop without telemetry, and of a plain PyTorch loop, in turns in one process."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from deepspeed.comm import comm as backends

from engine import arithmetic
from engine.directory import AttemptDirectory
from engine.rank.breakdown import Breakdown
from engine.rank.collectives import PAYLOADS, Payload
from engine.rank.loop import take_step, training_batches
from engine.rank.loss import Loss, loss_of
from engine.rank.marks import HostMarks
from engine.rank.model.build import Whole
from engine.rank.optimisers import build_optimiser
from engine.rank.readings import Readings
from engine.rank.schedule import learning_rate
from engine.rank.session import Session
from engine.rank.start import open_session
from engine.rank.trainers import MicroBatches, PlainTrainer
from engine.supervision.environment import free_port

ROUNDS, WARM_UP = 40, 3


class Silent:
    """Telemetry switched off: nothing is marked, read or written."""

    rank = 0

    def begin(self, *_: Any) -> None: ...
    def phase(self, *_: Any) -> Any:
        return contextlib.nullcontext()

    def end(self, *_: Any) -> float:
        return 1.0

    def finished(self) -> list[Any]:
        return []

    def step(self, *_: Any) -> None: ...
    def step_done(self, *_: Any) -> None: ...
    def learn(self, *_: Any) -> None: ...
    def agree(self, *_: Any) -> None: ...
    def asked(self) -> float:
        return 0.0

    def absences(self) -> dict[str, dict[str, tuple[str, str]]]:
        return {}

    def of_run(self, *_: Any) -> dict[str, float]:
        return {}

    def of_rank(self, *_: Any) -> dict[str, float]:
        return {}


def main() -> None:
    os.environ["MASTER_PORT"] = str(free_port("127.0.0.1"))
    session = open_session(AttemptDirectory(Path(sys.argv[1])), 0, time.perf_counter())
    variants: dict[str, Callable[[int], None]] = {
        "plain": plain_step(session),
        "silent": silent_step(session),
        "ours": our_step(session),
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(WARM_UP + ROUNDS):
        for name, step in variants.items():
            start = time.perf_counter()
            step(turn)
            if turn >= WARM_UP:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    answer = {
        "tokens_per_step": arithmetic.tokens_per_step(session.spec),
        "median_s": medians,
        "plain_over_ours": statistics.median(
            a / b for a, b in zip(seconds["plain"], seconds["ours"], strict=True)
        ),
        "silent_over_ours": statistics.median(
            a / b for a, b in zip(seconds["silent"], seconds["ours"], strict=True)
        ),
        "telemetry_s": telemetry_s(session),
    }
    sys.stderr.write(f"RESULT {json.dumps(answer)}\n")


def plain_step(session: Session) -> Callable[[int], None]:
    """What anyone would write without an engine: same layers, batches, optimiser, schedule and clipping."""
    spec, source = session.spec, training_batches(session)
    model = Whole(spec)
    optimiser = build_optimiser(spec, model)

    def step(number: int) -> None:
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(spec, number)
        optimiser.zero_grad()
        for start in range(0, spec.batch.global_batch_size, spec.batch.micro_batch_size):
            ids, targets = source.rows(number, start, start + spec.batch.micro_batch_size)
            (loss_of(model(torch.from_numpy(ids)), torch.from_numpy(targets)) / spec.accumulation).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), spec.optimiser.gradient_clip)
        optimiser.step()

    return step


def our_step(session: Session) -> Callable[[int], None]:
    source, readings = training_batches(session), Readings(session)
    watched = {name: vars(backends.cdb)[name] for name in PAYLOADS}

    def step(number: int) -> None:
        vars(backends.cdb).update(watched)
        take_step(session, source, readings, number, False)

    return step


def silent_step(session: Session) -> Callable[[int], None]:
    silent: Any = Silent()
    trainer = PlainTrainer(
        session.spec,
        session.engine,
        Loss(0.0),
        MicroBatches(session.spec, 0, session.device, session.heart),
        silent,
        session.update,
    )
    quiet, source = (
        replace(session, trainer=trainer, breakdown=silent, recorder=silent, narrator=silent, tracer=silent),
        training_batches(session),
    )

    def step(number: int) -> None:
        for name in PAYLOADS:
            vars(backends.cdb).pop(name, None)
        take_step(quiet, source, silent, number, False)

    return step


def telemetry_s(session: Session) -> float:
    """Seconds a step spends in telemetry alone: its marks, readings and lines, around no work at all."""
    breakdown, readings, repeats = Breakdown(HostMarks()), Readings(session), 2000
    payload = Payload("all_reduce", "all_reduce_bytes", 0)
    start = time.perf_counter()
    for number in range(repeats):
        breakdown.begin()
        for _ in range(session.spec.accumulation):
            for name in ("data_wait_s", "forward_s", "backward_s", "optimiser_s"):
                with breakdown.phase(name), breakdown.communication(payload):
                    pass
        session.tracer.asked()
        step_s = breakdown.end(number, readings.of_rank())
        of_rank = [(step.number, metrics) for step, metrics in breakdown.finished()]
        session.recorder.step(number, readings.of_run(1, 1.0, 1.0, 1.0, step_s), of_rank, {})
    return (time.perf_counter() - start) / repeats


if __name__ == "__main__":
    main()

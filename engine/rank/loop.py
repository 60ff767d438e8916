"""The training loop: what happens in a step, and between two steps."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from deepspeed import comm
from deepspeed.comm import comm as backends

from engine.data import objectives
from engine.data.sources import Training, Validation
from engine.directory import BORDER_EXITS, EXIT_LATE, EXIT_STOPPED
from engine.rank import checkpoint
from engine.rank.exits import EXIT_DIVERGED, EXIT_DONE
from engine.rank.readings import Readings
from engine.rank.recorder import Absences
from engine.rank.schedule import learning_rate
from engine.rank.session import Session
from engine.telemetry.heartbeat import Stage


@dataclass(frozen=True)
class Ending:
    """Why the loop ended: the exit code, and a sentence for people."""

    exit_code: int
    text: str


@dataclass(frozen=True)
class Border:
    """What all ranks agree on between two steps: the global mean loss, and whether any of them wants to stop, is
    over time, or has gradients that are not numbers."""

    loss: float
    stop: bool
    late: bool
    broken: bool


def train(session: Session, stop_wanted: Callable[[], bool]) -> Ending:
    """Train from the session's first step to the end of the budget, or to where it shall halt. Collective; all ranks
    end at the same step. Raises OSError when a checkpoint cannot be written."""
    spec = session.spec
    held_out = objectives.validation(spec, session.tokens)
    readings = Readings(session)
    source = training_batches(session)
    steps, last_step, ending = spec.budget.steps, session.last_step, None

    for step in range(session.first_step, last_step):
        border = take_step(session, source, readings, step, stop_wanted())
        done = step + 1
        if step == session.first_step:
            session.first_step_done()
        ending = ending_of(steps, done, border, last_step)
        if ending and ending.exit_code == EXIT_DIVERGED:
            break
        if _due(done, spec.budget.validate_every) or done == last_step:
            readings.validation_loss = _validate(session, held_out, done)
        if _due(done, spec.budget.checkpoint_every) or ending:
            _save(session, done)
        if ending:
            break

    exit_code = EXIT_DONE if last_step == steps else EXIT_STOPPED
    ending = ending or Ending(exit_code, f"All {last_step} steps had been done already.")
    _report(session, ending, readings)
    return ending


def training_batches(session: Session) -> Training:
    return objectives.training(session.spec, session.tokens)


def take_step(session: Session, source: Training, readings: Readings, step: int, stop: bool) -> Border:
    """One update, measured and recorded."""
    session.breakdown.begin()
    session.heart.beat(step, Stage.FIRST_STEP if step == session.first_step else Stage.STEP)
    rate = learning_rate(session.spec, step)
    for group in session.optimiser.param_groups:
        group["lr"] = rate
    loss_share = session.trainer.step(source, step)
    norm = session.norm.read()
    # A rank that waits for the others in the next line is ahead of one that lags.
    session.heart.beat(step, Stage.FIRST_STEP if step == session.first_step else Stage.STEP)
    border = _agree(loss_share, stop, session.is_late(), session.is_broken(norm))
    session.heart.beat(step + 1)
    step_s = session.breakdown.end(step + 1, readings.of_rank())
    if step == session.first_step:
        session.breakdown.learn(backends.cdb)

    run = readings.of_run(step + 1, border.loss, rate, norm, step_s)
    _record(session, step + 1, run, readings.absences() if step == session.first_step else {})
    session.narrator.step(step + 1, run)
    return border


def _record(session: Session, done: int, run: dict[str, float] | None, absences: Absences) -> None:
    recorder = session.recorder
    of_rank = [(step.number, metrics) for step, metrics in session.breakdown.finished()]
    recorder.step(done, run if recorder.rank == 0 else None, of_rank, absences)


def _agree(loss_share: torch.Tensor, stop: bool, late: bool, broken: bool) -> Border:
    """One all-reduce of four numbers, and the only place where the loop itself waits for the device."""
    border = torch.zeros(4, dtype=torch.float64, device=loss_share.device)
    border[0], border[1], border[2], border[3] = loss_share, float(stop), float(late), float(broken)
    comm.all_reduce(border)
    loss, *flags = border.tolist()
    return Border(loss, *(flag > 0 for flag in flags))


def ending_of(steps: int, done: int, border: Border, last_step: int) -> Ending | None:
    """Whether the attempt ends after step `done`, and how; the same on every rank, since the border is."""
    if not math.isfinite(border.loss) or border.broken:
        what = "The gradient norm is not finite" if border.broken else f"The loss is {border.loss}"
        cure = "A lower learning rate, a longer warm-up or gradient clipping may help."
        return Ending(EXIT_DIVERGED, f"{what} at step {done}: training has diverged. {cure}")
    if done >= steps:
        return Ending(EXIT_DONE, f"Finished all {steps} steps.")
    if done >= last_step:
        return Ending(EXIT_STOPPED, f"Halted after step {done} of {steps}, as planned.")
    if border.stop:
        return Ending(EXIT_STOPPED, f"Stopped on request after step {done} of {steps}.")
    if border.late:
        return Ending(EXIT_LATE, f"The time limit was reached after step {done} of {steps}.")
    return None


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _validate(session: Session, held_out: Validation, done: int) -> float:
    session.heart.beat(done, Stage.LONG)
    loss = _agree(session.trainer.validate(held_out), False, False, False).loss
    if session.recorder.rank == 0:
        session.recorder.validation(done, loss)
    session.narrator.say("step %d  validation loss %.4f", done, loss)
    return loss


def _save(session: Session, done: int) -> None:
    start = time.perf_counter()
    session.heart.beat(done, Stage.LONG)
    name = checkpoint.save(session.directory, session.engine, session.spec, session.dtype, done)
    took_s = time.perf_counter() - start
    if session.recorder.rank == 0:
        session.recorder.checkpoint(done, name, took_s)
    session.narrator.say("step %d  checkpoint %s saved in %.2f s", done, name, took_s)


def _report(session: Session, ending: Ending, readings: Readings) -> None:
    session.breakdown.settle()
    _record(session, readings.steps_done, None, {})
    if session.recorder.rank == 0:
        level = dict.fromkeys(BORDER_EXITS, "info").get(ending.exit_code, "error")
        session.recorder.note(ending.text, level, step=readings.steps_done)
        session.recorder.result(readings.steps_done, ending.text, readings.final())
    session.narrator.say("%s", ending.text)
    if ending.exit_code == EXIT_DIVERGED:
        # In the form in which the supervisor looks for a reason.
        sys.stderr.write(f"DivergedError: {ending.text}\n")

"""The training loop: what happens in a step, and between two steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from deepspeed import comm
from deepspeed.comm import comm as backends

from engine.data import objectives
from engine.data.full import FullBatch
from engine.data.sources import Training
from engine.directory import BORDER_EXITS, EXIT_LATE, EXIT_STOPPED, checkpoint_name
from engine.rank.measure.recorder import Absences
from engine.rank.measure.timeline import timeline_of
from engine.rank.run.evaluate import Evaluation
from engine.rank.run.exit_codes import EXIT_DIVERGED, EXIT_DONE
from engine.rank.run.recovery import mend
from engine.rank.run.session import Session
from engine.rank.run.step_metrics import Readings
from engine.rank.train.divergence import ADVICE
from engine.rank.train.schedule import learning_rate
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
    num_written: float = 0.0  # ranks that have written their part of a checkpoint under way
    num_failed: float = 0.0  # and of these, such as could not
    traces: float = 0.0  # sum of the numbers of the traces that the ranks have been asked for


def train(session: Session, stop_wanted: Callable[[], bool]) -> Ending:
    """Train from the session's first step to the end of the budget, or to where it shall halt. Collective; all ranks
    end at the same step. Raises OSError when a checkpoint cannot be written."""
    spec = session.spec
    evaluation, readings = Evaluation(session), Readings(session)
    source = training_batches(session)
    steps, last_step, ending = spec.budget.steps, session.last_step, None

    for step in range(session.first_step, last_step):
        border, wrong = take_step(session, source, readings, step, stop_wanted())
        done = step + 1
        if step == session.first_step:
            session.first_step_done()
        ending = ending_of(steps, done, border, last_step, mend(session, done, wrong))
        if ending and ending.exit_code == EXIT_DIVERGED:
            break
        validation_loss, is_best = None, False
        if _due(done, spec.budget.validate_every) or done == last_step:
            readings.held_out = evaluation.at(done, readings.mean_loss())
            validation_loss = readings.held_out["validation_loss"]
            is_best = spec.budget.keep_best and session.saver.is_best(validation_loss)
            ending = ending or _early_ending(session, done, validation_loss)
        if _due(done, spec.budget.checkpoint_every) or ending or is_best:
            _save(session, done, validation_loss, is_last=ending is not None)
        if ending:
            break
    session.saver.settle()

    exit_code = EXIT_DONE if last_step == steps else EXIT_STOPPED
    ending = ending or Ending(exit_code, f"All {last_step} steps had been done already.")
    _report(session, ending, readings)
    return ending


def training_batches(session: Session) -> Training:
    source = objectives.training(session.spec, session.tokens)
    return FullBatch(source) if session.spec.batch.full_batch else source


def take_step(
    session: Session, source: Training, readings: Readings, step: int, stop: bool
) -> tuple[Border, str]:
    """One update, measured and recorded; and what is wrong with it, if anything."""
    session.tracer.begin(step + 1)
    session.breakdown.begin()
    session.heartbeat.beat(step, Stage.FIRST_STEP if step == session.first_step else Stage.STEP)
    rate = learning_rate(session.spec, step)
    for group in session.optimiser.param_groups:
        group["lr"] = rate
    loss_share = session.trainer.step(source, step)
    norm = session.update.gradient_norm()
    # A rank that waits for the others in the next line is ahead of one that lags.
    session.heartbeat.beat(step, Stage.FIRST_STEP if step == session.first_step else Stage.STEP)
    extras = (*session.saver.flags(), session.tracer.asked())
    border = _agree(loss_share, stop, session.is_late(), session.is_broken(norm), extras)
    session.saver.take(border.num_written, border.num_failed)
    session.heartbeat.beat(step + 1)
    step_s = session.breakdown.end(step + 1, readings.of_rank())
    if step == session.first_step:
        session.breakdown.learn(backends.cdb)

    wrong = session.guard.detect_divergence(border.loss, border.broken)
    session.guard.record(border.loss, wrong)
    run = readings.of_run(step + 1, border.loss, rate, norm, step_s)
    _record(session, step + 1, run, readings.absences() if step == session.first_step else {})
    session.narrator.step(step + 1, run)
    session.tracer.step_done(step + 1)
    session.tracer.agree(border.traces, step + 1)
    return border, wrong


def _record(session: Session, done: int, run: dict[str, float] | None, absences: Absences) -> None:
    recorder, of_rank = session.recorder, []
    for step, metrics in session.breakdown.finished():
        of_rank.append((step.number, metrics))
        if session.tracer.is_drawn(step.number):
            drawn = timeline_of(session.breakdown, step, session.seat)
            recorder.timeline(step.number, step.began_at, drawn)
    recorder.step(done, run if recorder.rank == 0 else None, of_rank, absences)


def _agree(
    loss_share: torch.Tensor,
    stop: bool,
    late: bool,
    broken: bool,
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Border:
    """One all-reduce of seven numbers, and the only place where the loop itself waits for the device. `sums`: this
    rank's part of the border's last three."""
    flags = torch.tensor([0.0, stop, late, broken, *sums], dtype=torch.float64)
    border = flags.to(loss_share.device)
    border[0] = loss_share
    comm.all_reduce(border)
    loss, *flagged, num_written, num_failed, traces = border.tolist()
    return Border(loss, *(flag > 0 for flag in flagged), num_written, num_failed, traces)


def ending_of(steps: int, done: int, border: Border, last_step: int, wrong: str = "") -> Ending | None:
    """Whether the attempt ends after step `done`, and how; the same on every rank, since the border is. `wrong`: what
    is wrong with the step and was not mended."""
    if wrong:
        return Ending(EXIT_DIVERGED, f"{wrong} at step {done}: training has diverged. {ADVICE}")
    if done >= steps:
        return Ending(EXIT_DONE, f"Finished all {steps} steps.")
    if done >= last_step:
        return Ending(EXIT_STOPPED, f"Halted after step {done} of {steps}, as planned.")
    if border.stop:
        return Ending(EXIT_STOPPED, f"Stopped on request after step {done} of {steps}.")
    if border.late:
        return Ending(EXIT_LATE, f"The time limit was reached after step {done} of {steps}.")
    return None


def _early_ending(session: Session, done: int, validation_loss: float) -> Ending | None:
    if not session.guard.is_out_of_patience(validation_loss):
        return None
    best, patience = session.guard.best, session.spec.guard.patience
    said = f"no better than {best:.4f} in {patience} validations in a row"
    return Ending(EXIT_DONE, f"Stopped early after step {done}: the validation loss was {said}.")


def _due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _save(session: Session, done: int, validation_loss: float | None, is_last: bool) -> None:
    start = time.perf_counter()
    session.heartbeat.beat(done, Stage.LONG)
    save = session.saver.finish if is_last else session.saver.begin
    save(done, validation_loss)
    name, waited_s = checkpoint_name(done), time.perf_counter() - start
    how = "saved" if is_last else "under way"
    session.narrator.say("step %d  checkpoint %s %s; training waited %.3f s", done, name, how, waited_s)


def _report(session: Session, ending: Ending, readings: Readings) -> None:
    session.tracer.finish()
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

"""Training loop of a rank."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from deepspeed import comm
from deepspeed.comm import comm as backends

from engine.data import objectives
from engine.data.full_batch import FullBatch, count_sequences
from engine.data.sources import TrainingData
from engine.directory import EXIT_LATE, EXIT_STOPPED, STEP_BOUNDARY_EXITS, checkpoint_name
from engine.rank.measure.recorder import MissingMetrics
from engine.rank.measure.timeline import build_timeline
from engine.rank.run.evaluate import Evaluation
from engine.rank.run.exit_codes import EXIT_DIVERGED, EXIT_DONE
from engine.rank.run.recovery import recover
from engine.rank.run.session import TrainingSession
from engine.rank.run.step_metrics import StepMetrics
from engine.rank.train.divergence import ADVICE, advise
from engine.rank.train.schedule import learning_rate
from engine.telemetry.heartbeat import Stage


@dataclass(frozen=True)
class TrainingEnd:
    """Result of the training loop: exit code, and the reason as a sentence."""

    exit_code: int
    text: str


@dataclass(frozen=True)
class StepSync:
    """Values that all ranks agree on at a step boundary. Each flag is true if it is true on any rank."""

    loss: float  # global mean
    is_stop_requested: bool
    is_late: bool
    is_broken: bool  # gradients are not finite
    num_written: float = (
        0.0  # ranks that have written, or failed to write, their file of a checkpoint in progress
    )
    num_failed: float = 0.0  # ranks of these that have failed
    trace_requests: float = 0.0  # sum of the numbers of the trace requests of all ranks


def train(session: TrainingSession, is_stop_requested: Callable[[], bool]) -> TrainingEnd:
    """Train from the first step of the session to its last step.

    Collective; all ranks end at the same step. Raises OSError if the last checkpoint cannot be written.
    """
    spec = session.spec
    evaluation, step_metrics = Evaluation(session), StepMetrics(session)
    source = build_training_batches(session)
    steps, last_step, end = spec.budget.steps, session.last_step, None

    clock = session.clock
    clock.lap("build")
    for step in range(session.first_step, last_step):
        sync, divergence = take_step(session, source, step_metrics, step, is_stop_requested())
        done = step + 1
        if step == session.first_step:
            session.first_step_done()
        advice = advise(done, session.first_step, session.restored.origin)
        end = find_training_end(steps, done, sync, last_step, recover(session, done, divergence), advice)
        if divergence:
            clock.lap("recovery")
        if end:
            clock.close()
        if end and end.exit_code == EXIT_DIVERGED:
            break
        validation_loss, is_best = None, False
        if _is_due(done, spec.budget.validate_every) or done == last_step:
            step_metrics.validation_metrics = evaluation.run(done, step_metrics.pop_mean_loss())
            validation_loss = step_metrics.validation_metrics["validation_loss"]
            is_best = spec.budget.keep_best and session.saver.is_best(validation_loss)
            end = end or _early_stop(session, done, validation_loss)
        if _is_due(done, spec.budget.checkpoint_every) or end or is_best:
            _save(session, done, validation_loss, is_last=end is not None)
        if end:
            break
    session.saver.wait()

    exit_code = EXIT_DONE if last_step == steps else EXIT_STOPPED
    end = end or TrainingEnd(exit_code, f"All {last_step} steps were already done.")
    _record_result(session, end, step_metrics)
    return end


def build_training_batches(session: TrainingSession) -> TrainingData:
    spec = session.spec
    source = objectives.build_training(spec, session.tokens)
    if not spec.batch.full_batch:
        return source
    return FullBatch(source, count_sequences(spec, session.tokens), spec.batch.global_batch_size)


def take_step(
    session: TrainingSession, source: TrainingData, step_metrics: StepMetrics, step: int, stop: bool
) -> tuple[StepSync, str]:
    """Run, measure and record one step; also return the description of a divergence, empty without one."""
    is_first = step == session.first_step
    session.clock.lap("build" if is_first else "between_steps")
    session.tracer.begin_step(step + 1)
    session.breakdown.begin()
    session.heartbeat.beat(step, Stage.FIRST_STEP if is_first else Stage.STEP)
    rate = learning_rate(session.spec, step)
    for group in session.optimiser.param_groups:
        group["lr"] = rate
    loss_share = session.trainer.step(source, step)
    norm = session.update.gradient_norm()
    # Shows a rank that waits for the others in the all-reduce below as ahead of one that lags.
    session.heartbeat.beat(step, Stage.FIRST_STEP if is_first else Stage.STEP)
    counts = (*session.saver.flags(), session.tracer.poll_request())
    sync = _sync_step(loss_share, stop, session.is_late(), session.is_broken(norm), counts)
    session.saver.update(sync.num_written, sync.num_failed)
    session.heartbeat.beat(step + 1)
    step_s = session.breakdown.end(step + 1, step_metrics.rank_metrics())
    if is_first:
        session.breakdown.measure_transfers(backends.cdb)
    session.clock.lap("first_step" if is_first else "step")

    divergence = session.guard.detect_divergence(sync.loss, sync.is_broken)
    session.guard.record(sync.loss, divergence)
    run = step_metrics.run_metrics(step + 1, sync.loss, rate, norm, step_s)
    _record(session, step + 1, run, step_metrics.missing_metrics() if is_first else {})
    session.progress_log.step(step + 1, run)
    session.tracer.end_step(step + 1)
    session.tracer.agree(sync.trace_requests, step + 1)
    if session.clock.is_due:
        session.record_clock(step + 1)
    session.clock.lap("recording")
    return sync, divergence


def _record(
    session: TrainingSession, done: int, run: dict[str, float] | None, missing: MissingMetrics
) -> None:
    recorder, rank_metrics = session.recorder, []
    for step, metrics in session.breakdown.pop_completed():
        rank_metrics.append((step.number, metrics))
        if session.tracer.has_timeline(step.number):
            drawn = build_timeline(session.breakdown, step, session.seat)
            recorder.timeline(step.number, step.began_at, drawn)
    recorder.step(done, run if recorder.rank == 0 else None, rank_metrics, missing)


def _sync_step(
    loss_share: torch.Tensor,
    stop: bool,
    late: bool,
    broken: bool,
    sums: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> StepSync:
    """Agree on a StepSync with one all-reduce of seven numbers; only here the loop itself waits for the device.

    `sums` has this rank's values of the last three fields.
    """
    flags = torch.tensor([0.0, stop, late, broken, *sums], dtype=torch.float64)
    values = flags.to(loss_share.device)
    values[0] = loss_share
    comm.all_reduce(values)
    loss, *flagged, num_written, num_failed, trace_requests = values.tolist()
    return StepSync(loss, *(flag > 0 for flag in flagged), num_written, num_failed, trace_requests)


def find_training_end(
    steps: int, done: int, sync: StepSync, last_step: int, divergence: str = "", advice: str = ADVICE
) -> TrainingEnd | None:
    """Return whether and why the attempt ends after step `done`, or None; the same on every rank.

    `divergence` describes a divergence from which the run has not recovered.
    """
    if divergence:
        return TrainingEnd(EXIT_DIVERGED, f"{divergence} at step {done}: training has diverged. {advice}")
    if done >= steps:
        return TrainingEnd(EXIT_DONE, f"Finished all {steps} steps.")
    if done >= last_step:
        return TrainingEnd(EXIT_STOPPED, f"Halted after step {done} of {steps}, as planned.")
    if sync.is_stop_requested:
        return TrainingEnd(EXIT_STOPPED, f"Stopped on request after step {done} of {steps}.")
    if sync.is_late:
        return TrainingEnd(EXIT_LATE, f"The time limit was reached after step {done} of {steps}.")
    return None


def _early_stop(session: TrainingSession, done: int, validation_loss: float) -> TrainingEnd | None:
    if not session.guard.is_out_of_patience(validation_loss):
        return None
    best, patience = session.guard.best, session.spec.guard.patience
    reason = f"the validation loss was not below {best:.4f} in {patience} validations in a row"
    return TrainingEnd(EXIT_DONE, f"Stopped early after step {done}: {reason}.")


def _is_due(done: int, every: int) -> bool:
    return every > 0 and done % every == 0


def _save(session: TrainingSession, done: int, validation_loss: float | None, is_last: bool) -> None:
    start = time.perf_counter()
    session.heartbeat.beat(done, Stage.LONG)
    save = session.saver.finish if is_last else session.saver.begin
    save(done, validation_loss)
    session.clock.lap("checkpoint")
    name, waited_s = checkpoint_name(done), time.perf_counter() - start
    status = "saved" if is_last else "in progress"
    session.progress_log.info(
        "step %d  checkpoint %s %s; training waited %.3f s", done, name, status, waited_s
    )


def _record_result(session: TrainingSession, end: TrainingEnd, step_metrics: StepMetrics) -> None:
    session.tracer.finish()
    session.breakdown.synchronize()
    _record(session, step_metrics.steps_done, None, {})
    if session.recorder.rank == 0:
        level = dict.fromkeys(STEP_BOUNDARY_EXITS, "info").get(end.exit_code, "error")
        session.recorder.note(end.text, level, step=step_metrics.steps_done)
        session.recorder.result(step_metrics.steps_done, end.text, step_metrics.final_metrics())
    session.progress_log.info("%s", end.text)
    session.clock.close()
    session.clock.lap("closing")
    session.record_clock(step_metrics.steps_done)
    if end.exit_code == EXIT_DIVERGED:
        # The supervisor searches the log for a line in this form.
        sys.stderr.write(f"DivergedError: {end.text}\n")

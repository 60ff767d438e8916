"""Recovery from a diverged step, by the policy of the spec."""

from __future__ import annotations

import torch
from deepspeed import comm

from engine.checkpoints.folder import MANIFEST, ResumeError
from engine.directory import checkpoint_step, find_checkpoints
from engine.rank.checkpoint import state
from engine.rank.checkpoint.choose import choose_checkpoint
from engine.rank.checkpoint.position import RankPosition
from engine.rank.run.session import TrainingSession
from engine.rank.train.divergence import CONSECUTIVE_LIMIT
from engine.telemetry.heartbeat import Stage


def recover(session: TrainingSession, done: int, divergence: str) -> str:
    """Recover from a divergence at step `done`; return why the run cannot continue, or an empty text. Collective."""
    guard = session.guard
    if not divergence or guard.policy == "stop":
        return divergence
    if guard.is_beyond_recovery:
        return f"{divergence}, as in {CONSECUTIVE_LIMIT} steps in a row,"
    reason = f"{divergence[0].lower()}{divergence[1:]}"
    if guard.policy == "skip":
        message = f"Step {done} was skipped: {reason}."
    else:
        try:
            restored = _roll_back(session, done)
        except ResumeError as error:
            session.progress_log.info("%s", error)
            return f"{divergence} and no checkpoint is sound ({error.args[0].rstrip('.')}),"
        if restored is None:
            return f"{divergence} and there is no checkpoint yet to roll back to,"
        message = f"Rolled back to the state of step {restored} after step {done}: {reason}. Training continues with "
        message += f"the data of step {done + 1}."
    if session.recorder.rank == 0:
        session.recorder.note(message, "warning", step=done)
    session.progress_log.info("%s", message)
    return ""


def _roll_back(session: TrainingSession, done: int) -> int | None:
    """Restore the newest sound checkpoint on all ranks and return its step; None without a checkpoint.

    The step count, and with it the data, is not reset: the run does not meet the same batch again, and the order of
    data remains a function of the step. Checkpoints after this step belong to an earlier attempt.
    """
    session.saver.wait()
    found = [
        p for p in find_checkpoints(session.directory.checkpoints) if (checkpoint_step(p.name) or 0) <= done
    ]
    origin = session.restored.origin
    if origin is not None and origin.path not in found and (origin.path / MANIFEST).is_file():
        found.append(origin.path)
    if not _agree(session, bool(found)):
        return None

    def note(text: str, level: str) -> None:
        if session.recorder.rank == 0:
            session.recorder.note(text, level, step=done)

    checkpoint = choose_checkpoint(found, note, lambda: session.heartbeat.beat(done, Stage.LONG))
    position = RankPosition.from_seat(session.seat, session.spec)
    state.resume(checkpoint, session.engine, session.spec, session.dtype, position)
    return checkpoint.step


def _agree(session: TrainingSession, has_checkpoint: bool) -> bool:
    """Whether rank 0 has found a checkpoint. Collective."""
    agreed = torch.tensor(float(has_checkpoint), device=session.device)
    comm.broadcast(agreed, 0)
    return bool(agreed)

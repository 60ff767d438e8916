"""Recovery from a diverged step, by the policy of the spec."""

from __future__ import annotations

import torch
from deepspeed import comm

from engine.directory import checkpoint_name, checkpoint_step
from engine.rank.checkpoint import state
from engine.rank.checkpoint.position import RankPosition
from engine.rank.run.session import TrainingSession
from engine.rank.train.divergence import CONSECUTIVE_LIMIT


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
        restored = _roll_back(session)
        if restored is None:
            return f"{divergence} and there is no checkpoint yet to roll back to,"
        message = f"Rolled back to the state of step {restored} after step {done}: {reason}. Training continues with "
        message += f"the data of step {done + 1}."
    if session.recorder.rank == 0:
        session.recorder.note(message, "warning", step=done)
    session.progress_log.info("%s", message)
    return ""


def _roll_back(session: TrainingSession) -> int | None:
    """Restore the newest checkpoint on all ranks and return its step; None without a checkpoint.

    The step count, and with it the data, is not reset: the run does not meet the same batch again, and the order of
    data remains a function of the step.
    """
    session.saver.wait()
    newest = session.directory.newest_checkpoint()
    found = -1 if newest is None else checkpoint_step(newest.name)
    agreed = torch.tensor(found, device=session.device)
    comm.broadcast(agreed, 0)
    step = int(agreed)
    if step < 0:
        return None
    position = RankPosition.from_seat(session.seat, session.spec)
    path = session.directory.checkpoints / checkpoint_name(step)
    state.resume(path, session.engine, session.spec, session.dtype, position)
    return step

"""What is done about a broken step."""

from __future__ import annotations

import torch
from deepspeed import comm

from engine.directory import checkpoint_name, step_of_checkpoint
from engine.rank.checkpoint import state
from engine.rank.run.session import Session
from engine.rank.train.divergence import CONSECUTIVE_LIMIT


def mend(session: Session, done: int, wrong: str) -> str:
    """Do what the spec says about step `done`, with which something is `wrong`; returns why the run cannot go on, or
    nothing. Collective."""
    guard = session.guard
    if not wrong or guard.policy == "stop":
        return wrong
    if guard.is_beyond_recovery:
        return f"{wrong}, as in {CONSECUTIVE_LIMIT} steps in a row,"
    why = f"{wrong[0].lower()}{wrong[1:]}"
    if guard.policy == "skip":
        said = f"Step {done} was left out: {why}."
    else:
        back = _roll_back(session)
        if back is None:
            return f"{wrong} and there is no checkpoint yet to go back to,"
        said = f"Back to the state of step {back} after step {done}: {why}. Steps and data go on."
    if session.recorder.rank == 0:
        session.recorder.note(said, "warning", step=done)
    session.narrator.say("%s", said)
    return ""


def _roll_back(session: Session) -> int | None:
    """The step whose state all ranks went back to; None without a checkpoint. The count of steps and with it the data
    go on, so that what broke the run is not met again and order stays a function of the step alone."""
    session.saver.settle()
    newest = session.directory.newest_checkpoint()
    found = -1 if newest is None else step_of_checkpoint(newest.name)
    agreed = torch.tensor(found, device=session.device)
    comm.broadcast(agreed, 0)
    step = int(agreed)
    if step < 0:
        return None
    place = state.Place.of(session.seat, session.spec)
    path = session.directory.checkpoints / checkpoint_name(step)
    state.resume(path, session.engine, session.spec, session.dtype, place)
    return step

"""Attempts of a job up to one of them, from their folders: clocks, ends, faults."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.directory import AttemptDirectory, RankSeat, SupervisorState, checkpoint_step
from engine.hardware.device_failures import (
    describe_failures,
    find_failed_rank,
    find_held_device,
    is_hardware_fault,
)
from engine.verdict.facts import ClockFacts
from engine.verdict.spool_series import RecordedClock
from fourwalls.system import procfs

_NUMBER = re.compile(r"^(?P<job>.+)-(?P<number>\d+)$")  # as jobs.nodes.folders.attempt_path names them


@dataclass(frozen=True)
class PastAttempt:
    """An attempt's folder, and its end as far as the folder has it."""

    directory: AttemptDirectory
    state: SupervisorState | None
    assigned_at: float | None = None


def find_attempts(directory: AttemptDirectory) -> list[PastAttempt]:
    """The attempts of the job up to this one, the oldest first. Those that ran on other nodes are not here."""
    found, name = [directory], _NUMBER.match(directory.path.name)
    if name:
        siblings = []
        for path in directory.path.parent.glob(f"{_escape(name['job'])}-*"):
            other = _NUMBER.match(path.name)
            if other and other["job"] == name["job"] and int(other["number"]) < int(name["number"]):
                siblings.append((int(other["number"]), path))
        found = [*(AttemptDirectory(path) for _, path in sorted(siblings)), directory]
    return [PastAttempt(one, _read_state(one), _read_assigned_at(one)) for one in found]


def build_clock(
    clocks: Sequence[RecordedClock], attempts: Sequence[PastAttempt], queued_s: float = 0.0
) -> ClockFacts | None:
    """The clocks of all processes of rank 0, with the steps that no checkpoint kept; None if none made two steps."""
    totals: dict[str, float] = {}
    num_steps = num_lost = 0
    for at, one in enumerate(clocks):
        seconds, steps = dict(one.seconds), max(0, one.step - one.first_step - 1)
        later = [other.first_step for other in clocks[at + 1 :]]
        kept = min(later) if later else _get_kept_step(attempts[-1])
        if kept is not None and steps:
            lost = min(steps, max(0, one.step - kept))
            seconds["lost_steps"] = seconds.get("step", 0.0) * lost / steps
            seconds["step"] = seconds.get("step", 0.0) - seconds["lost_steps"]
            num_lost += lost
        num_steps += steps
        for name, value in seconds.items():
            totals[name] = totals.get(name, 0.0) + value
    for name, value in _get_outside(clocks, attempts).items():
        totals[name] = totals.get(name, 0.0) + value
    if not num_steps:
        return None
    kept_parts = {name: value for name, value in totals.items() if value > 0}
    return ClockFacts(kept_parts, num_steps, num_lost, max(len(clocks), len(attempts)), queued_s)


def _get_kept_step(attempt: PastAttempt) -> int | None:
    """The last step that counts; None: all of them do, so far."""
    state = attempt.state
    if state is None or state.state == "succeeded":
        return None
    if not state.is_terminal and procfs.is_alive(state.pid, state.pid_started):
        return None
    newest = attempt.directory.newest_checkpoint()
    return (checkpoint_step(str(newest)) if newest else None) or 0


def _get_outside(clocks: Sequence[RecordedClock], attempts: Sequence[PastAttempt]) -> Mapping[str, float]:
    """Time of the attempts before and after rank 0, where each of them has its folder."""
    found = {"launch": 0.0, "ending": 0.0}
    if len(clocks) != len(attempts):
        return found
    for one, attempt in zip(clocks, attempts, strict=True):
        state, held_since = attempt.state, attempt.assigned_at
        if held_since is None and state is not None:
            held_since = state.started_at
        if held_since is not None:
            found["launch"] += max(0.0, one.at - sum(one.seconds.values()) - held_since)
        if state is not None and state.ended_at:
            found["ending"] += max(0.0, state.ended_at - one.at)
    return found


def ran_out_of_memory(attempts: Sequence[PastAttempt]) -> bool:
    ends = [one.state for one in attempts if one.state is not None and one.state.is_terminal]
    return any("out of memory" in f"{end.reason} {' '.join(end.stderr_tail)}".lower() for end in ends)


def find_faults(newest: PastAttempt, notes: Sequence[str], seats: Sequence[RankSeat]) -> tuple[str, ...]:
    """Sentences about devices of the newest attempt: faults that drivers reported, and what it failed on."""
    found = [note for note in notes if is_hardware_fault(note)]
    if newest.state is not None and newest.state.is_terminal:
        reason = newest.state.reason
        held, rank = find_held_device(reason), find_failed_rank(reason)
        for seat in seats:
            if seat.device == held or (held is None and seat.rank == rank):
                found.append(describe_failures(seat.device_name or seat.device, reason))
    return tuple(dict.fromkeys(found))


def _read_state(directory: AttemptDirectory) -> SupervisorState | None:
    try:
        return directory.read_state()
    except (OSError, ValueError):
        return None


def _read_assigned_at(directory: AttemptDirectory) -> float | None:
    try:
        return directory.read_placement().assigned_at
    except (OSError, ValueError):
        return None


def _escape(text: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", text)

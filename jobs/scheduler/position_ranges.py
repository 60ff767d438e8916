"""Queue positions as people see them: exact near the head, a range behind.

Each started job moves all jobs behind it by one. With 10,000 waiting jobs, writing that took 50,892 row updates while
14 jobs ended. A range changes for the one job that leaves it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jobs.scheduler.policy.decide import QueuePosition
from jobs.scheduler.policy.reasons import WaitingReason

EXACT = 100  # positions from the head on
WRITES = 500  # rows behind the exact ones in a tick; the others follow in the next ticks
START_TOLERANCE_S = 1.0  # of an exact position
SLACK, MOST_SLACK = (
    0.1,
    0.3,
)  # of the wait: added to an expected start behind the exact ones; more is corrected
STEP_S = 60.0  # to which it is rounded up
ON_THE_WAY = ("AHEAD", "RESERVED", "GANG_FIT")  # reasons that only say what else is in front


def range_of(position: int) -> tuple[int, int] | None:
    """First and last position that are shown as one; None for an exact one: 101-200, ..., 901-1000, 1001-2000, ..."""
    if position <= EXACT:
        return None
    size: int = 10 ** int(math.log10(position - 1) + 1e-9)
    first = (position - 1) // size * size + 1
    return first, first + size - 1


def as_shown(exact: QueuePosition) -> QueuePosition:
    """A position beyond the exact ones as its range, with a reason that holds for the whole range."""
    found = range_of(exact.position)
    if found is None:
        return exact
    first, last = found
    reason = exact.reason
    if reason.code in ON_THE_WAY:
        reason = WaitingReason("AHEAD", {"n": first - 1, "to": last - 1})
    return QueuePosition(first, reason.without_counts(), exact.expected_start, exact.unknown_start)


def start_to_write(start: float | None, written: float | None, position: int, now: float) -> float | None:
    """The expected start that the row should have: the written one while it is good enough. 'No later than' must hold,
    so a start behind the exact ones has some slack, which absorbs most changes."""
    if start is None:
        return None
    if position <= EXACT:
        is_same = written is not None and abs(written - start) < START_TOLERANCE_S
        return written if is_same else start
    wait_s = max(0.0, start - now)
    if (
        written is not None
        and start - START_TOLERANCE_S <= written <= start + MOST_SLACK * wait_s + 2 * STEP_S
    ):
        return written
    return math.ceil((start + SLACK * wait_s) / STEP_S) * STEP_S


def first_writes(positions: Sequence[int]) -> set[int]:
    """Indices of the changes that one tick writes: all exact ones, and of the others those nearest to the head."""
    order = sorted(range(len(positions)), key=lambda index: positions[index])
    num_exact = sum(position <= EXACT for position in positions)
    return set(order[: num_exact + WRITES])

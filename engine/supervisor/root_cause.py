"""Root cause of a failed attempt: the rank that failed first, and why."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 40
TAIL_BYTES = 64 * 1024
LINE_CHARACTERS = 400

# Messages of a healthy rank that has lost its peer; such a rank is a secondary failure and not the root cause.
_LOST_CONNECTION = re.compile(
    r"connection (was )?(closed|reset|refused|aborted)|broken pipe|socket (is )?closed|remote process exited"
    r"|failed to (recv|send|connect)|timed out|ncclremoteerror|ncclsystemerror|peer .*(exited|died)",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(
    r"^(?:\[rank\d+\]:\s*)?((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning)\b.*)$"
)
_SIGNAL_HINTS: dict[int, str] = {
    signal.SIGSEGV: " (a crash in native code)",
    signal.SIGBUS: " (often a full /dev/shm)",
}


@dataclass(frozen=True)
class UnexpectedExit:
    """The end of a rank without a request. `exit_code` is negative for a signal; `at` is monotonic."""

    rank: int
    exit_code: int
    at: float


def find_root_cause(
    unexpected_exits: Iterable[UnexpectedExit], tails: Mapping[int, tuple[str, ...]]
) -> UnexpectedExit:
    """Return the root cause: a rank killed by a signal, else the earliest one that did not only lose its peer."""
    return min(
        unexpected_exits,
        key=lambda failure: (_blame_order(failure, tails[failure.rank]), failure.at, failure.rank),
    )


def describe_failure(
    failure: UnexpectedExit, tail: tuple[str, ...], explain_kill: Callable[[int], str]
) -> str:
    """Return the failure as a sentence. `explain_kill` tells what is known about the SIGKILL of a rank."""
    if failure.exit_code < 0:
        number = -failure.exit_code
        is_kill = number == signal.SIGKILL
        hint = explain_kill(failure.rank) if is_kill else _SIGNAL_HINTS.get(number, "")
        return f"rank {failure.rank} was killed by {_signal_name(number)}{hint}"
    exception = last_exception(tail)
    return f"rank {failure.rank} ended with exit code {failure.exit_code}" + (
        f": {exception}" if exception else ""
    )


def last_exception(tail: tuple[str, ...]) -> str:
    """Return the last line that names an exception, without torch's rank prefix; empty if there is none."""
    return next((found[1] for line in reversed(tail) if (found := _EXCEPTION.match(line))), "")


def read_tail(log: Path, characters: int | None = LINE_CHARACTERS) -> tuple[str, ...]:
    """Return the last lines of a file, each cut to `characters`; empty if the file cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(-min(TAIL_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(line[:characters] for line in text.splitlines()[-TAIL_LINES:])


def is_secondary_failure(failure: UnexpectedExit, tail: tuple[str, ...]) -> bool:
    """Whether a rank only lost its peer."""
    return _blame_order(failure, tail) == 2


def _blame_order(failure: UnexpectedExit, tail: tuple[str, ...]) -> int:
    # Native code also reports a lost peer by an abort, so SIGABRT counts as an exit and not as a kill.
    if failure.exit_code < 0 and failure.exit_code != -signal.SIGABRT:
        return 0
    line = last_exception(tail) or (tail[-1] if tail else "")
    return 2 if _LOST_CONNECTION.search(line) else 1


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

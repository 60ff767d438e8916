"""Which rank failed first, and why, in one sentence."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 40
TAIL_BYTES = 64 * 1024
LINE_CHARACTERS = 400

# What a healthy rank says when a peer has gone; such a rank is a witness, not a culprit.
_LOST_CONNECTION = re.compile(
    r"connection (was )?(closed|reset|refused|aborted)|broken pipe|socket (is )?closed|remote process exited"
    r"|failed to (recv|send|connect)|timed out|ncclremoteerror|ncclsystemerror|peer .*(exited|died)",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(
    r"^(?:\[rank\d+\]:\s*)?((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit|Warning)\b.*)$"
)
_SIGNAL_HINTS: dict[int, str] = {
    signal.SIGKILL: " (out of memory or by hand)",
    signal.SIGSEGV: " (a crash in native code)",
    signal.SIGBUS: " (often a full /dev/shm)",
}


@dataclass(frozen=True)
class Death:
    """One rank's end that nobody asked for. `exit_code` is negative for a signal; `at` is monotonic."""

    rank: int
    exit_code: int
    at: float


def culprit(deaths: Iterable[Death], tails: Mapping[int, tuple[str, ...]]) -> Death:
    """The rank to blame: one killed by a signal, else the earliest that did not merely lose its peer."""
    return min(deaths, key=lambda death: (_suspicion(death, tails[death.rank]), death.at, death.rank))


def sentence(death: Death, tail: tuple[str, ...]) -> str:
    if death.exit_code < 0:
        number = -death.exit_code
        return f"rank {death.rank} was killed by {_signal_name(number)}{_SIGNAL_HINTS.get(number, '')}"
    said = last_exception(tail)
    return f"rank {death.rank} ended with exit code {death.exit_code}" + (f": {said}" if said else "")


def last_exception(tail: tuple[str, ...]) -> str:
    """The last line that names an exception, without torch's rank prefix; '' if there is none."""
    return next((found[1] for line in reversed(tail) if (found := _EXCEPTION.match(line))), "")


def tail_of(log: Path, characters: int | None = LINE_CHARACTERS) -> tuple[str, ...]:
    """The last lines of a file, each cut to so many characters; () if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(-min(TAIL_BYTES, os.fstat(file.fileno()).st_size), os.SEEK_END)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(line[:characters] for line in text.splitlines()[-TAIL_LINES:])


def is_witness(death: Death, tail: tuple[str, ...]) -> bool:
    """Whether a rank merely lost its peer."""
    return _suspicion(death, tail) == 2


def _suspicion(death: Death, tail: tuple[str, ...]) -> int:
    # An abort is how native code reports a lost peer too, so it counts as an exit and not as a kill.
    if death.exit_code < 0 and death.exit_code != -signal.SIGABRT:
        return 0
    said = last_exception(tail) or (tail[-1] if tail else "")
    return 2 if _LOST_CONNECTION.search(said) else 1


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

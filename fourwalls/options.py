"""What the environment says: where the server is, whether to talk to it, where the spool lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Mode = Literal["online", "offline", "disabled"]
MODES = ("online", "offline", "disabled")
FOLDER = "fourwalls-runs"


class OptionError(ValueError):
    """A setting that cannot be understood; the message names it, and what would do."""


@dataclass(frozen=True)
class Options:
    """`finish_s`: how long finish() waits for the server; `system_s`: seconds between two looks at the machine, 0 for
    none; `fsync_s`: how much of the log a power cut may take. A killed process loses at most `spool_s`."""

    url: str = "http://127.0.0.1:8000"
    token: str = ""
    mode: Mode = "online"
    folder: Path = Path(FOLDER)
    finish_s: float = 30.0
    system_s: float = 5.0
    fsync_s: float = 5.0
    spool_s: float = 0.05
    ship_s: float = 0.4


def read(**given: object) -> Options:
    """From FOURWALLS_URL, _TOKEN, _MODE, _DIR, _FINISH_S, _SYSTEM_S and _FSYNC_S; what is given goes first.
    Raises OptionError."""
    found = {name: value for name, value in given.items() if value is not None}
    for name, variable in (("url", "URL"), ("token", "TOKEN"), ("mode", "MODE"), ("folder", "DIR")):
        if name not in found and (text := os.environ.get(f"FOURWALLS_{variable}")):
            found[name] = text
    for name in ("finish_s", "system_s", "fsync_s"):
        variable = f"FOURWALLS_{name.upper()}"
        if name not in found and (text := os.environ.get(variable)):
            found[name] = _seconds(variable, text)
    if found.get("mode", "online") not in MODES:
        raise OptionError(f"FOURWALLS_MODE={found['mode']!r}: say one of {', '.join(MODES)}.")
    found["folder"] = Path(str(found.get("folder", FOLDER))).resolve()
    return Options(**found)  # type: ignore[arg-type]


def _seconds(variable: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise OptionError(f"{variable}={text!r} is no number of seconds.")
    return seconds

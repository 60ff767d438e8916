"""Options of the client, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Mode = Literal["online", "offline", "disabled"]
MODES = ("online", "offline", "disabled")
OFF = ("0", "false", "no", "off")
DEFAULT_FOLDER = "fourwalls-runs"


class OptionError(ValueError):
    """An option is invalid; the message names it and the accepted values."""


@dataclass(frozen=True)
class Options:
    """Options of the client.

    `finish_s` is how long finish() waits for the server, `system_s` the interval of host metrics (0: none),
    and `fsync_s` the part of the log that a power failure may lose. A killed process loses what it
    logged in the last `spool_s`, or up to fourwalls.writer.SLOWEST_S where writing is expensive.
    """

    url: str = "http://127.0.0.1:8000"
    token: str = ""
    mode: Mode = "online"
    folder: Path = Path(DEFAULT_FOLDER)
    finish_s: float = 30.0
    system_s: float = 2.0
    fsync_s: float = 5.0
    spool_s: float = 0.05
    ship_s: float = 0.4


def read_options(**overrides: object) -> Options:
    """Read options from FOURWALLS_URL, _TOKEN, _MODE, _DIR, _FINISH_S, _SYSTEM_S, _SYSTEM_METRICS and _FSYNC_S.

    `overrides` take precedence; `system_metrics` False means `system_s` 0. Raises OptionError.
    """
    values = {name: value for name, value in overrides.items() if value is not None}
    for name, variable in (("url", "URL"), ("token", "TOKEN"), ("mode", "MODE"), ("folder", "DIR")):
        if name not in values and (text := os.environ.get(f"FOURWALLS_{variable}")):
            values[name] = text
    for name in ("finish_s", "system_s", "fsync_s"):
        variable = f"FOURWALLS_{name.upper()}"
        if name not in values and (text := os.environ.get(variable)):
            values[name] = _parse_seconds(variable, text)
    has_metrics = values.pop("system_metrics", None)
    if has_metrics is None:
        has_metrics = os.environ.get("FOURWALLS_SYSTEM_METRICS", "").lower() not in OFF
    if not has_metrics:
        values["system_s"] = 0.0
    if values.get("mode", "online") not in MODES:
        raise OptionError(f"FOURWALLS_MODE={values['mode']!r} is not a mode; use one of {', '.join(MODES)}.")
    values["folder"] = Path(str(values.get("folder", DEFAULT_FOLDER))).resolve()
    return Options(**values)  # type: ignore[arg-type]


def _parse_seconds(variable: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise OptionError(f"{variable}={text!r} is not a number of seconds below 1,000,000.")
    return seconds

"""Options of the client, from the environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

Mode = Literal["online", "offline", "disabled"]
MODES = ("online", "offline", "disabled")
OFF = ("0", "false", "no", "off")
DEFAULT_FOLDER = "fourwalls-runs"
OTHER_MODES: dict[str, Mode] = {"dryrun": "offline", "run": "online", "shared": "online"}  # of W&B's client

log = logging.getLogger("fourwalls")


class OptionError(ValueError):
    """An option is invalid; the message names it and the accepted values."""


@dataclass(frozen=True)
class Options:
    """Options of the client.

    `finish_s` is how long finish() waits for the server, `system_s` the interval of host metrics (0: none),
    and `fsync_s` the part of the log that a power failure may lose. A killed process loses at most `spool_s`.
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
    console: bool = True
    environment: bool = True


def read_options(*, is_strict: bool = True, **overrides: object) -> Options:
    """Read options from FOURWALLS_URL, _TOKEN, _MODE, _DIR, _FINISH_S, _SYSTEM_S, _SYSTEM_METRICS, _CONSOLE,
    _ENVIRONMENT and _FSYNC_S.

    `overrides` take precedence; `system_metrics` False means `system_s` 0. Raises OptionError, or with `is_strict`
    False reports an invalid option and uses its default.
    """
    values = {name: value for name, value in overrides.items() if value is not None}
    for name, variable in (("url", "URL"), ("token", "TOKEN"), ("mode", "MODE"), ("folder", "DIR")):
        if name not in values and (text := os.environ.get(f"FOURWALLS_{variable}")):
            values[name] = text
    for name in ("finish_s", "system_s", "fsync_s"):
        variable = f"FOURWALLS_{name.upper()}"
        if name not in values and (text := os.environ.get(variable)):
            _check(values, name, partial(_parse_seconds, variable, text), is_strict)
    if not values.pop("system_metrics", _is_on("SYSTEM_METRICS")):
        values["system_s"] = 0.0
    for name in ("console", "environment"):
        values[name] = bool(values.get(name, _is_on(name.upper())))
    _check(values, "mode", lambda: _parse_mode(str(values.get("mode", "online"))), is_strict)
    values["folder"] = Path(str(values.get("folder", DEFAULT_FOLDER))).expanduser().resolve()
    return Options(**values)  # type: ignore[arg-type]


def _check(values: dict[str, object], name: str, parse: Callable[[], object], is_strict: bool) -> None:
    try:
        values[name] = parse()
    except OptionError as error:
        if is_strict:
            raise
        log.error("%s The default is used.", error)
        values.pop(name, None)


def _is_on(variable: str) -> bool:
    return os.environ.get(f"FOURWALLS_{variable}", "").lower() not in OFF


def _parse_mode(text: str) -> Mode:
    mode = OTHER_MODES.get(text, text)
    if mode not in MODES:
        raise OptionError(f"FOURWALLS_MODE={text!r} is not a mode; use one of {', '.join(MODES)}.")
    return mode  # type: ignore[return-value]


def _parse_seconds(variable: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise OptionError(f"{variable}={text!r} is not a number of seconds below 1,000,000.")
    return seconds

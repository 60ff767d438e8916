"""Current run of this process: the one that init() has started last and that has not ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from fourwalls.run_config import Config
from fourwalls.run_summary import Summary

if TYPE_CHECKING:
    from fourwalls.run_object import Run

_active: list[Run] = []
_early_config = Config()  # set before init(), which takes it


def run() -> Optional[Run]:
    """None before init() and after finish()."""
    return _active[-1] if _active else None


def config() -> Config:
    active = run()
    return active.config if active else _early_config


def summary() -> Summary:
    active = run()
    return active.summary if active else Summary(None)


def set_current(started: Run) -> None:
    _active.append(started)


def remove(ended: Any) -> None:
    if ended in _active:
        _active.remove(ended)


def take_early_config() -> dict[str, Any]:
    """What the script has set in `fourwalls.config` before init()."""
    found = _early_config.as_dict()
    _early_config.clear()
    return found

"""Client: `run = fourwalls.init(...)`, `run.log({...})`, `run.finish()`.

The client never blocks or ends training. It needs msgspec and the standard library. `import fourwalls as wandb` runs
scripts that were written for W&B's client. `fourwalls.system` reads the machine; what it alone needs is loaded without
the rest.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fourwalls.initialise import init
    from fourwalls.run_object import Run

__version__ = "0.1.0"
__all__ = ["Run", "init"]

# name -> module; each is loaded at its first use, so that the engine's readers of the machine do not load the client
_NAMES = {
    "init": "initialise",
    "Run": "run_object",
    "Config": "run_config",
    "Settings": "compatibility",
    "AlertLevel": "compatibility",
    "Error": "compatibility",
    "CommError": "compatibility",
    "UsageError": "compatibility",
    "login": "compatibility",
    "setup": "compatibility",
    "ensure_configured": "compatibility",
    "teardown": "compatibility",
    "termlog": "compatibility",
    "termwarn": "compatibility",
    "termerror": "compatibility",
    "Api": "read_api",
    "ApiError": "read_api",
    "Image": "media",
    "Table": "media",
    "Histogram": "media",
    "Video": "media",
    "Audio": "media",
    "Html": "media",
    "Text": "media",
    "Plotly": "media",
    "Artifact": "versions",
}
_NAMES |= dict.fromkeys(
    ("log", "save", "finish", "join", "watch", "unwatch", "define_metric", "alert", "log_artifact", "log_model",
     "use_artifact", "use_model", "log_code", "mark_preempting", "restore", "tag", "note", "params", "flush"),
    "module_level",
)  # fmt: skip
_MODULES = {"plot": "plot", "data_types": "media", "errors": "compatibility", "util": "compatibility"}
_OF_CURRENT_RUN = ("run", "config", "summary")
_ELSEWHERE = {
    "sweep": "Submit a sweep on the page of sweeps.",
    "agent": "Fourwalls starts the runs of a sweep itself.",
    "controller": "Fourwalls starts the runs of a sweep itself.",
}


class _ClientModule(ModuleType):
    """Takes `wandb.config = {...}` as an update of the configuration, as scripts write it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "config":
            from fourwalls import current

            current.config().update(value)
        elif name not in _OF_CURRENT_RUN:
            super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name in _OF_CURRENT_RUN:
        current = importlib.import_module("fourwalls.current")
        return getattr(current, name)()
    if name in _MODULES:
        return importlib.import_module(f"fourwalls.{_MODULES[name]}")
    if name not in _NAMES:
        hint = f" {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
        raise AttributeError(f"module 'fourwalls' has no attribute {name!r}.{hint}")
    return getattr(importlib.import_module(f"fourwalls.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES, *_MODULES, *_OF_CURRENT_RUN})


sys.modules[__name__].__class__ = _ClientModule

"""Hooks that finish runs at process exit and detach them in a forked child."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from types import TracebackType
from typing import Any

_live: weakref.WeakSet[Any] = weakref.WeakSet()  # of Runs
_has_crashed = False
_is_installed = False


def finish_at_exit(run: Any) -> None:
    """Finish the run when this process exits, unless it has finished before."""
    _install()
    _live.add(run)


def _finish_all() -> None:
    for run in list(_live):
        run.finish("failed" if _has_crashed else "succeeded")


def _record_crash(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    global _has_crashed
    _has_crashed = True
    _previous_excepthook(kind, error, at)


def _after_fork_in_child() -> None:
    for run in list(_live):
        run.after_fork()


def _install() -> None:
    """Install the hooks with the first run, so that a program that only imports the package keeps its own."""
    global _is_installed, _previous_excepthook
    if _is_installed:
        return
    _is_installed = True
    _previous_excepthook, sys.excepthook = sys.excepthook, _record_crash
    atexit.register(_finish_all)
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=_after_fork_in_child)


_previous_excepthook = sys.__excepthook__

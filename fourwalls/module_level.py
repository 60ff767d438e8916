"""Functions of the module that act on the current run."""

from __future__ import annotations

import logging
from typing import Any, Optional

from fourwalls import current
from fourwalls.throttled_log import ThrottledLog

log_to = logging.getLogger("fourwalls")
_throttled = ThrottledLog()


def _call(method: str, *values: Any, **named: Any) -> Any:
    """Call a method of the current run; without a run, or if it fails, warn and return None."""
    active = current.run()
    if active is None:
        _throttled.warn(method, "%s() has no effect before init() and after finish().", method)
        return None
    try:
        return getattr(active, method)(*values, **named)
    except Exception as error:  # noqa: BLE001 - logging must not end training
        _throttled.warn(method, "%s() had no effect: %r", method, error)
        return None


def log(data: Any = None, step: Optional[int] = None, commit: Optional[bool] = None, **more: Any) -> None:
    """Run.log() of the current run."""
    _call("log", data or {}, step, commit, **more)


def save(glob_str: Any = None, base_path: Any = None, policy: str = "live", *, name: str = "") -> Any:
    """Save the files of a pattern with the current run, now and at its end if they have changed or appear later."""
    if glob_str is not None:
        return _call("save", glob_str, name, base_path=base_path, policy=policy)
    return None


def finish(exit_code: Any = None, quiet: Optional[bool] = None) -> None:
    """Run.finish() of the current run."""
    del quiet
    if current.run() is not None:
        _call("finish", "succeeded" if exit_code is None else exit_code)


join = finish


def watch(
    models: Any = None, criterion: Any = None, log: Any = "gradients", log_freq: int = 1000, **more: Any
) -> Any:
    return _call("watch", models, criterion, log, log_freq, **more)


def unwatch(models: Any = None) -> None:
    _call("unwatch", models)


def define_metric(name: str, *values: Any, **named: Any) -> Any:
    return _call("define_metric", name, *values, **named)


def alert(title: str = "", text: str = "", level: Any = None, wait_duration: Any = None) -> None:
    _call("alert", title, text, level, wait_duration)


def log_artifact(*values: Any, **named: Any) -> Any:
    return _call("log_artifact", *values, **named)


def log_model(*values: Any, **named: Any) -> Any:
    return _call("log_model", *values, **named)


def use_artifact(*values: Any, **named: Any) -> Any:
    """Run.use_artifact() of the current run. Raises ApiError: a script cannot go on without its input."""
    active = current.run()
    if active is not None:
        return active.use_artifact(*values, **named)
    from fourwalls.read_api import Api

    return Api().artifact(*values, **named)


def use_model(name: str) -> str:
    """The folder or file of a logged model. Raises ApiError."""
    return str(use_artifact(name).download())


def log_code(*values: Any, **named: Any) -> Any:
    return _call("log_code", *values, **named)


def mark_preempting() -> None:
    _call("mark_preempting")


def restore(
    name: str, run_path: Optional[str] = None, replace: bool = False, root: Optional[str] = None
) -> Any:
    """Download a file of a run, by default of the current one, and open it. Raises ApiError."""
    from fourwalls.read_api import Api, ApiError

    active = current.run()
    run_id = run_path or (active.id if active else None)
    if run_id is None:
        raise ApiError("restore() needs a run: call init() first, or name one.")
    return Api().run(run_id).file(name).download(root or (active.dir if active else "."), replace=replace)


def tag(**tags: Any) -> None:
    _call("tag", **tags)


def note(text: str) -> None:
    _call("note", text)


def params(config: Any) -> None:
    _call("params", config)


def flush(limit_s: float = 10.0) -> Any:
    return _call("flush", limit_s)

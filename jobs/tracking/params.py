"""Parameters of runs, as texts and, where possible, as numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from engine.request_limits import KEY_CHARS, PARAM_CHARS
from jobs.models import Run, RunEvent, RunParam


class ParamError(ValueError):
    """A parameter that is refused; the message names it and the reason."""


def from_spec(spec: Mapping[str, Any]) -> dict[str, str]:
    """The leaves of a spec by their paths, {"model.layers": "8", ...}, without those that are None."""
    return {path: as_text(value) for path, value in _leaves(spec, "")}


def store(run: Run, values: Mapping[str, str], *, replaced_by: str = "") -> None:
    """Add parameters. An existing one with the same value stays. Raises ParamError for another value: a parameter
    describes how the run was started, which does not change unless somebody (`replaced_by`) asks for it."""
    for key, value in values.items():
        refuse_bad(key, value)
    known = dict(RunParam.objects.filter(run=run, key__in=values).values_list("key", "value"))
    changed = [key for key in known if known[key] != values[key]]
    for key in changed:
        if not replaced_by:
            raise ParamError(
                f"Parameter '{key}' of run {run.id} is already {known[key]!r} and cannot become {values[key]!r}. "
                "Log it under another name, or as a tag."
            )
    rows = [
        RunParam(run=run, key=key, value=value, number=as_number(value))
        for key, value in values.items()
        if key not in known
    ]
    RunParam.objects.bulk_create(rows)
    for key in changed:
        new = {"value": values[key], "number": as_number(values[key])}
        RunParam.objects.filter(run=run, key=key).update(**new)
        text = f"{key}: {known[key][:200]!r} -> {values[key][:200]!r}"
        RunEvent.objects.create(run=run, actor=replaced_by, kind="run.param", text=text)


def refuse_bad(key: str, value: str) -> None:
    """Raises ParamError for a key or value that no row can hold."""
    if not key or len(key) > KEY_CHARS:
        raise ParamError(f"A parameter's name has 1 to {KEY_CHARS} characters; this one has {len(key)}.")
    if len(value) > PARAM_CHARS:
        raise ParamError(f"Parameter '{key}' has {len(value)} characters; the limit is {PARAM_CHARS}.")
    if "\0" in key or "\0" in value:
        raise ParamError(f"Parameter {key!r} holds a NUL character.")


def as_text(value: Any) -> str:
    """As a person would type it: true, 8, 0.0003, text as it is."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def as_number(text: str) -> float | None:
    """The finite number that a text represents, or None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}" if path else str(key))
    elif value is not None:
        yield path, value

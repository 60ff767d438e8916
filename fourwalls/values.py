"""What people hand to log(): numbers of every library, nested or not, as plain numbers by name."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from fourwalls.limits import METRIC_CHARS, PARAM_CHARS

PLAIN = frozenset({float, int})  # what a row may hold as it is


def plain(metrics: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """The numbers, nested ones as 'outer/inner', and the names of what is none. A tensor on a GPU makes the GPU
    finish its work first."""
    found: dict[str, float] = {}
    refused: list[str] = []
    for name, value in _leaves(metrics, ""):
        number = _number(value)
        if number is None or not is_name(name):
            refused.append(name[:METRIC_CHARS])
        else:
            found[name] = number
    return found, refused


def is_name(name: str) -> bool:
    if not 0 < len(name) <= METRIC_CHARS or "\0" in name or not name.strip():
        return False
    try:
        return bool(name.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def params_of(chosen: Any) -> dict[str, Any]:
    """A mapping, dataclass, argparse namespace or anything with attributes, as nested plain values and texts."""
    if not isinstance(chosen, Mapping):
        chosen = getattr(chosen, "__dict__", None) or {}
    return {str(key): _param(value) for key, value in chosen.items() if value is not None}


def _param(value: Any) -> Any:
    if isinstance(value, Mapping):
        return params_of(value)
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value if abs(value) < 2**63 else str(value)
    return str(value).replace("\0", "")[:PARAM_CHARS]


def _leaves(values: Mapping[Any, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{path}/{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _leaves(value, name)
        else:
            yield name, value


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)  # tensors and arrays of one element too
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None

"""Conversion of logged values and parameters to plain numbers and texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from fourwalls.limits import METRIC_CHARS, PARAM_CHARS

PLAIN_TYPES = frozenset({float, int})  # need no conversion


def to_numbers(metrics: Mapping[str, Any]) -> tuple[dict[str, float], list[str]]:
    """Return numbers by name (nested ones as 'outer/inner') and the names of values that are not numbers.

    Reading a tensor on a GPU waits for the GPU.
    """
    numbers: dict[str, float] = {}
    refused: list[str] = []
    for name, value in _flatten(metrics, ""):
        number = _to_number(value)
        if number is None or not is_metric_name(name):
            refused.append(name[:METRIC_CHARS])
        else:
            numbers[name] = number
    return numbers, refused


def is_metric_name(name: str) -> bool:
    if not 0 < len(name) <= METRIC_CHARS or "\0" in name or not name.strip():
        return False
    try:
        return bool(name.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def to_params(config: Any) -> dict[str, Any]:
    """Nested plain values and texts from a mapping, dataclass, argparse namespace or any object with attributes."""
    if not isinstance(config, Mapping):
        config = getattr(config, "__dict__", None) or {}
    return {str(key): _to_param(value) for key, value in config.items() if value is not None}


def _to_param(value: Any) -> Any:
    if isinstance(value, Mapping):
        return to_params(value)
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value if abs(value) < 2**63 else str(value)
    return str(value).replace("\0", "")[:PARAM_CHARS]


def _flatten(values: Mapping[Any, Any], path: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{path}/{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _flatten(value, name)
        else:
            yield name, value


def _to_number(value: Any) -> float | None:
    if isinstance(value, str | bytes):
        return None
    try:
        return float(value)  # also tensors and arrays of one element
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None

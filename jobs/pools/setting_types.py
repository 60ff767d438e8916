"""Parsers and formatters of settings.

A text that cannot be parsed raises ValueError with a sentence that names the value and a remedy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.spec.spec import Problem

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
CURRENCY = re.compile(r"[A-Z]{3}")
LABELS_LIMIT = 20
DURATION_UNITS_S = {"s": 1, "min": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)?")

Parser = Callable[[str], Any]


class SettingsError(ValueError):
    """A user's mistake in settings; holds every problem found, each with its field."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in self.problems))


@dataclass(frozen=True)
class Setting:
    """One setting: its column, its labels, and how its text is parsed and formatted."""

    name: str
    title: str
    help: str
    parse: Parser
    format: Callable[[Any], str]
    unit: str = ""
    empty_label: str = "no limit"  # what an empty field means
    kind: str = "text"  # or switch, teams: the form control

    def describe(self, value: Any) -> str:
        """The value with its unit, for use in a sentence."""
        text = self.format(value)
        return f"{text} {self.unit}".rstrip() if text else self.empty_label


def parse_all(settings: Iterable[Setting], texts: Mapping[str, str]) -> dict[str, Any]:
    """Setting name -> value, for the settings in `texts`. Raises SettingsError with every invalid text."""
    values, problems = {}, []
    for setting in settings:
        if setting.name not in texts:
            continue
        try:
            values[setting.name] = setting.parse(texts[setting.name].strip())
        except ValueError as error:
            problems.append(Problem(setting.name, str(error)))
    if problems:
        raise SettingsError(problems)
    return values


def integer_parser(minimum: int, maximum: int = 2**31 - 1) -> Parser:
    def parse(text: str) -> int | None:
        if not text:
            return None
        if not re.fullmatch(r"-?\d{1,12}", text):
            raise ValueError(f"'{text[:40]}' is not a whole number.")
        return int(_check_range(int(text), minimum, maximum))

    return parse


def number_parser(minimum: float, maximum: float = 1e9) -> Parser:
    def parse(text: str) -> float | None:
        return None if not text else _check_range(_parse_finite(text), minimum, maximum)

    return parse


def required_parser(parse: Parser) -> Parser:
    def parse_required(text: str) -> Any:
        if not text:
            raise ValueError("It cannot be empty.")
        return parse(text)

    return parse_required


def duration_parser(minimum_s: int, maximum_s: int) -> Parser:
    """Parser of seconds, optionally with a unit: 90, 90 s, 15 min, 1.5 h, 2 d."""

    def parse(text: str) -> int | None:
        if not text:
            return None
        found = DURATION.fullmatch(text)
        if not found:
            raise ValueError(f"'{text[:40]}' is not a duration. Use 90 s, 15 min, 1.5 h or 2 d.")
        seconds = float(found[1]) * DURATION_UNITS_S[found[2] or "s"]
        if not minimum_s <= seconds <= maximum_s:
            limits = f"{format_duration(minimum_s)} to {format_duration(maximum_s)}"
            raise ValueError(f"'{text[:40]}' is out of range: {limits}.")
        return round(seconds)

    return parse


def parse_switch(text: str) -> bool:
    if text.lower() not in ("true", "false", "on", ""):
        raise ValueError(f"'{text[:40]}' is neither true nor false.")
    return text.lower() in ("true", "on")


def parse_currency(text: str) -> str:
    if not CURRENCY.fullmatch(text):
        raise ValueError(
            f"'{text[:40]}' is not a currency code. Use three capital letters, such as EUR or USD."
        )
    return text


def parse_labels(text: str) -> dict[str, str]:
    """Parse 'gpu=h200, site=north' to a mapping."""
    found: dict[str, str] = {}
    for part in re.split(r"[,\s]+", text):
        key, equals, value = part.partition("=")
        if not part:
            continue
        if not (equals and LABEL.fullmatch(key) and LABEL.fullmatch(value)):
            raise ValueError(
                f"'{part[:60]}' is not a label. Use key=value with letters, digits, dots, dashes and slashes: gpu=h200."
            )
        if key in found:
            raise ValueError(f"Label '{key}' is given twice. Give it one value.")
        found[key] = value
    if len(found) > LABELS_LIMIT:
        raise ValueError(f"{len(found)} labels are too many; the limit is {LABELS_LIMIT}.")
    return found


def format_labels(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))


def format_duration(seconds: int | None) -> str:
    """The text that duration_parser reads, in the largest unit that needs no fraction."""
    if seconds is None:
        return ""
    unit = next((u for u in ("d", "h", "min") if seconds and seconds % DURATION_UNITS_S[u] == 0), "s")
    return f"{seconds // DURATION_UNITS_S[unit]} {unit}"


def format_number(value: float | None) -> str:
    """All typed digits and no more: 0.1, 12, 1234567.5."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _parse_finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"'{text[:40]}' is not a number.") from None
    if not math.isfinite(value):
        raise ValueError(f"'{text[:40]}' is not a finite number.")
    return value


def _check_range(value: float, minimum: float, maximum: float) -> float:
    if value < minimum:
        raise ValueError(
            f"{format_number(value)} is out of range: it must be at least {format_number(minimum)}."
        )
    if value > maximum:
        raise ValueError(
            f"{format_number(value)} is out of range: it must be at most {format_number(maximum)}."
        )
    return value

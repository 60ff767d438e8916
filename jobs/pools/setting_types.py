"""What people type into settings: read from text, or refused with a sentence that names the value and a way out."""

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
SPANS_S = {"s": 1, "min": 60, "h": 3600, "d": 86400}
SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)?")

Reader = Callable[[str], Any]


class SettingsError(ValueError):
    """A person's mistake in settings; carries every problem found, each with its field."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.field}: {p.message}" for p in self.problems))


@dataclass(frozen=True)
class Setting:
    """One value that can be set: its column, what stands beside it, how its text is read and written."""

    name: str
    title: str
    help: str
    read: Reader
    write: Callable[[Any], str]
    unit: str = ""
    absent: str = "no limit"  # what an empty field means
    kind: str = "text"  # or switch, teams: how a page asks for it

    def said(self, value: Any) -> str:
        """The value in a sentence."""
        text = self.write(value)
        return f"{text} {self.unit}".rstrip() if text else self.absent


def read_all(settings: Iterable[Setting], texts: Mapping[str, str]) -> dict[str, Any]:
    """{name: value} of those settings that `texts` names. Raises SettingsError with every text that is none."""
    values, problems = {}, []
    for setting in settings:
        if setting.name not in texts:
            continue
        try:
            values[setting.name] = setting.read(texts[setting.name].strip())
        except ValueError as error:
            problems.append(Problem(setting.name, str(error)))
    if problems:
        raise SettingsError(problems)
    return values


def whole(least: int, most: int = 2**31 - 1) -> Reader:
    def read(text: str) -> int | None:
        if not text:
            return None
        if not re.fullmatch(r"-?\d{1,12}", text):
            raise ValueError(f"'{text[:40]}' is not a whole number.")
        return int(_within(int(text), least, most))

    return read


def number(least: float, most: float = 1e9) -> Reader:
    def read(text: str) -> float | None:
        return None if not text else _within(_finite(text), least, most)

    return read


def required(read: Reader) -> Reader:
    def read_required(text: str) -> Any:
        if not text:
            raise ValueError("It cannot be empty.")
        return read(text)

    return read_required


def span_s(least: int, most: int) -> Reader:
    """Seconds, or with a unit: 90, 90 s, 15 min, 1.5 h, 2 d."""

    def read(text: str) -> int | None:
        if not text:
            return None
        found = SPAN.fullmatch(text)
        if not found:
            raise ValueError(f"'{text[:40]}' is no length of time. Say 90 s, 15 min, 1.5 h or 2 d.")
        seconds = float(found[1]) * SPANS_S[found[2] or "s"]
        if not least <= seconds <= most:
            raise ValueError(f"'{text[:40]}' is out of range: {said_span(least)} to {said_span(most)}.")
        return round(seconds)

    return read


def switch(text: str) -> bool:
    if text.lower() not in ("true", "false", "on", ""):
        raise ValueError(f"'{text[:40]}' is neither true nor false.")
    return text.lower() in ("true", "on")


def currency(text: str) -> str:
    if not CURRENCY.fullmatch(text):
        raise ValueError(f"'{text[:40]}' is no currency code. Say three capital letters, such as EUR or USD.")
    return text


def labels(text: str) -> dict[str, str]:
    """'gpu=h200, site=north' as a mapping."""
    found: dict[str, str] = {}
    for part in re.split(r"[,\s]+", text):
        key, equals, value = part.partition("=")
        if not part:
            continue
        if not (equals and LABEL.fullmatch(key) and LABEL.fullmatch(value)):
            raise ValueError(
                f"'{part[:60]}' is no label. Say key=value in letters, digits, dots, dashes and slashes: gpu=h200."
            )
        if key in found:
            raise ValueError(f"'{key}' stands here twice. A label has one value.")
        found[key] = value
    if len(found) > LABELS_LIMIT:
        raise ValueError(f"{len(found)} labels are too many; the limit is {LABELS_LIMIT}.")
    return found


def said_labels(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))


def said_span(seconds: int | None) -> str:
    """As span_s reads it, in the largest unit that keeps it whole."""
    if seconds is None:
        return ""
    unit = next((u for u in ("d", "h", "min") if seconds and seconds % SPANS_S[u] == 0), "s")
    return f"{seconds // SPANS_S[unit]} {unit}"


def said_number(value: float | None) -> str:
    """Every digit that was typed, and no more: 0.1, 12, 1234567.5."""
    if value is None:
        return ""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"'{text[:40]}' is not a number.") from None
    if not math.isfinite(value):
        raise ValueError(f"'{text[:40]}' is not a finite number.")
    return value


def _within(value: float, least: float, most: float) -> float:
    if value < least:
        raise ValueError(f"{said_number(value)} is out of range: it must be at least {said_number(least)}.")
    if value > most:
        raise ValueError(f"{said_number(value)} is out of range: it must be at most {said_number(most)}.")
    return value

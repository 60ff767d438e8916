"""Short texts with units for SI values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jobs.series.metric_units import get_unit

ABSENT = "–"
COLUMN_DIGITS = 5
_COUNT = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BYTES = ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
DURATION_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def _number(value: Any) -> float | None:
    """Return the value as a float, also from the texts NaN and Infinity; None if it is not a number."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _format_non_finite(value: float) -> str | None:
    if math.isnan(value):
        return "NaN"
    return None if math.isfinite(value) else "∞" if value > 0 else "−∞"


def _three_digits(value: float) -> str:
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _scaled(value: Any, table: tuple[tuple[float, str], ...], unit: str) -> str:
    number = _number(value)
    if number is None:
        return ABSENT
    if text := _format_non_finite(number):
        return text
    for size, prefix in table:
        if abs(number) >= size:
            return f"{_three_digits(number / size)} {prefix}{unit}"
    return f"{_three_digits(number)} {unit}".rstrip()


def as_count(value: Any, unit: str = "") -> str:
    """1400000 -> '1.40 M'."""
    return _scaled(value, _COUNT, unit)


def as_whole(value: int) -> str:
    """4000 -> '4,000'."""
    return f"{value:,}"


def as_eta(seconds: float) -> str:
    """Format a remaining time. It is an estimate, so it is rounded to whole seconds."""
    return as_duration(round(seconds))


def as_bytes(value: Any) -> str:
    """1610612736 -> '1.50 GiB'."""
    number = _number(value)
    return f"{number:.0f} B" if number is not None and abs(number) < 1024 else _scaled(value, _BYTES, "")


def as_figure(value: Any) -> str:
    """Format a number without a unit to four significant digits: 3.1416 -> '3.142', 0.00012 -> '0.00012'."""
    number = _number(value)
    if number is None:
        return ABSENT
    if text := _format_non_finite(number):
        return text
    if number and (abs(number) < 1e-3 or abs(number) >= 1e6):
        return f"{number:.3g}"
    return f"{number:,.4g}" if abs(number) < 1e4 else f"{number:,.0f}"


def as_column(values: Sequence[Any], unit: str = "") -> list[str]:
    """Format the values of one column: those of similar size have the same prefix and decimals, five digits in all, or
    four with a unit."""
    numbers = [_number(value) for value in values]
    sizes = [abs(number) for number in numbers if number and math.isfinite(number)]
    family = _COLUMN_UNITS.get(unit)
    is_far = not sizes or min(sizes) < max(1e-4, max(sizes) / 1e3)
    if family is None or is_far or (not unit and max(sizes) >= 1e6):
        return [as_unit(value, unit) for value in values]
    table, plain, suffix = family
    size, prefix = next(((size, name) for size, name in table if max(sizes) >= size), (1, plain))
    is_whole = size == 1 and all(number == int(number) for number in sizes)
    digits = COLUMN_DIGITS - bool(unit)
    decimals = 0 if is_whole else max(0, digits - 1 - math.floor(math.log10(max(sizes) / size)))
    end = f"{prefix}{suffix}"
    gap = " " if end and not end.startswith("/") else ""
    return [
        ABSENT if number is None else _format_non_finite(number) or f"{number / size:,.{decimals}f}{gap}{end}"
        for number in numbers
    ]


def as_share(value: Any) -> str:
    """0.4321 -> '43.2 %'."""
    return as_pct(None if (number := _number(value)) is None else number * 100)


def as_width(share: float) -> str:
    """Format a share as percent for a CSS style, from 0 to 100 and without localisation."""
    return f"{100 * min(1.0, max(0.0, share)):.2f}"


def as_saving(value: Any) -> str:
    """0.12 -> '12.0 % less', -0.05 -> '5.0 % more'."""
    number = _number(value)
    if number is None:
        return ABSENT
    return f"{as_share(abs(number))} {'less' if number >= 0 else 'more'}"


def as_small_time(value: Any) -> str:
    """Format a short time: '24.1 ms', '38 µs'."""
    number = _number(value)
    if number is None:
        return ABSENT
    if text := _format_non_finite(number):
        return text
    if not number:
        return "0 s"
    unit, scale = next(
        ((u, s) for u, s in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)) if number * s >= 1), ("ns", 1e9)
    )
    return f"{_three_digits(number * scale)} {unit}"


def as_signed_share(value: Any) -> str:
    """Format a relative error: 0.123 -> '+12.3 %', -0.04 -> '−4.0 %'."""
    number = _number(value)
    return (
        ABSENT if number is None else _format_non_finite(number) or f"{number * 100:+.1f} %".replace("-", "−")
    )


def as_pct(value: Any) -> str:
    number = _number(value)
    return ABSENT if number is None else _format_non_finite(number) or f"{number:.1f} %"


def as_duration(value: Any) -> str:
    """Format seconds in the two largest units: 3725 -> '1 h 2 min', 12.4 -> '12.4 s', 0.04 -> '40 ms'."""
    seconds = _number(value)
    if seconds is None:
        return ABSENT
    if text := _format_non_finite(seconds):
        return text
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < 59.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    rest = round(seconds)
    parts: list[str] = []
    for size, name in DURATION_UNITS:
        if rest >= size or parts:
            parts.append(f"{rest // size} {name}")
            rest %= size
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def as_hours(seconds: Any) -> str:
    """Format device-seconds as device-hours: 9000 -> '2.50'."""
    hours = (_number(seconds) or 0.0) / 3600
    return _three_digits(hours) if not hours or hours >= 0.01 else f"{hours:.2g}"


def as_kwh(joules: Any) -> str:
    """Format joules in kWh, or in Wh below 100 Wh."""
    wh = (_number(joules) or 0.0) / 3600
    return f"{_three_digits(wh / 1000)} kWh" if wh >= 100 else f"{_three_digits(wh)} Wh"


def as_money(value: Any, currency: str = "") -> str:
    """1234.5 -> '1,234.50 EUR'. Amounts below 0.01 get three significant digits, so that no cost reads 0.00."""
    number = _number(value)
    if number is None:
        return ABSENT
    if text := _format_non_finite(number):
        return text
    text = (
        f"{number:,.2f}" if not number or abs(number) >= 0.01 else f"{float(f'{number:.3g}'):f}".rstrip("0")
    )
    return f"{text} {currency}".rstrip()


_BY_UNIT = {
    "share": as_share,
    "pct": as_pct,
    "s": as_duration,
    "bytes": as_bytes,
    "bytes_per_s": lambda value: f"{as_bytes(value)}/s",
    "w": lambda value: as_count(value, "W"),
    "j": lambda value: as_count(value, "J"),
    "celsius": lambda value: f"{_three_digits(float(value))} °C",
    "hz": lambda value: as_count(value, "Hz"),
    "tokens": as_count,
    "tokens_per_s": lambda value: f"{as_count(value)}/s",
    "flops_per_s": lambda value: as_count(value, "FLOP/s"),
    "per_s": lambda value: f"{as_count(value)}/s",
}
# Units that people log in, shown as they are; shared/format.js has the same
_PLAIN_SUFFIXES = {
    "ms": "ms", "us": "µs", "ns": "ns", "h": "h", "kb": "kB", "mb": "MB", "gb": "GB", "kib": "KiB", "mib": "MiB",
    "gib": "GiB", "kwh": "kWh", "wh": "Wh", "mhz": "MHz", "ghz": "GHz",
}  # fmt: skip


# Unit of a column -> prefixes, the unit without a prefix, what follows
_COLUMN_UNITS: dict[str, tuple[tuple[tuple[float, str], ...], str, str]] = {
    "": ((), "", ""),
    "bytes": (_BYTES, "B", ""),
    "bytes_per_s": (_BYTES, "B", "/s"),
    "tokens": (_COUNT, "", ""),
    "tokens_per_s": (_COUNT, "", "/s"),
    "per_s": (_COUNT, "", "/s"),
    "flops_per_s": (_COUNT, "", "FLOP/s"),
    "w": (_COUNT, "", "W"),
    "j": (_COUNT, "", "J"),
    "hz": (_COUNT, "", "Hz"),
    **{unit: ((), "", suffix) for unit, suffix in _PLAIN_SUFFIXES.items()},
}


def as_unit(value: Any, unit: str) -> str:
    """Format a value in a unit of the metrics table. Less than 1 J is shown in mJ, not as '0.00 J'."""
    if unit == "j" and _number(value) is not None and abs(float(value)) < 1:
        return f"{float(value) * 1e3:.3g} mJ"
    if _number(value) is None:
        return ABSENT
    if suffix := _PLAIN_SUFFIXES.get(unit):
        return f"{as_figure(value)} {suffix}"
    return _BY_UNIT.get(unit, as_figure)(value)


def as_metric(value: Any, name: str) -> str:
    """Format a metric's value in the unit of the metrics table, or of its name."""
    return as_unit(value, get_unit(name))

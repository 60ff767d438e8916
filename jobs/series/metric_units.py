"""Units of metrics: those of the engine's table, or by the end of the name."""

from __future__ import annotations

import re
from functools import lru_cache

from engine.telemetry.metrics import BY_NAME

# End of a name, its parts separated by underscores -> unit. The first that fits. Ends that are words may be the whole
# name; letters and abbreviations follow a quantity: step_s is a time, the metric s is not known.
PER_SECOND = r"(?:_?per_|p)(?:s|sec|secs|second|seconds)"
UNITS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?:^|_)(?:{words})$" if is_word else rf"[a-z0-9]_(?:{words})$"), unit)
    for words, is_word, unit in (
        (rf"bytes{PER_SECOND}", True, "bytes_per_s"),
        (rf"(?:tokens?|toks?){PER_SECOND}", True, "tokens_per_s"),
        (rf"flops?{PER_SECOND}", True, "flops_per_s"),
        (r"per_(?:s|sec|secs|second|seconds)", True, "per_s"),
        ("bytes", True, "bytes"),
        ("kb", False, "kb"), ("mb", False, "mb"), ("gb", False, "gb"),
        ("kib", False, "kib"), ("mib", False, "mib"), ("gib", False, "gib"),
        ("ms|msec|msecs|millis|milliseconds", False, "ms"),
        ("us|usec|usecs|micros|microseconds", False, "us"),
        ("ns|nsec|nanoseconds", False, "ns"),
        ("seconds|secs", True, "s"),
        ("s|sec|second", False, "s"),
        ("hours", True, "h"),
        ("percent|percentage", True, "pct"),
        ("pct", False, "pct"),
        ("watts", True, "w"), ("power_w", True, "w"),
        ("joules", True, "j"), ("energy_j", True, "j"),
        ("kwh", False, "kwh"), ("wh", False, "wh"),
        ("celsius", True, "celsius"), ("temp_c|temperature_c", True, "celsius"),
        ("ghz", False, "ghz"), ("mhz", False, "mhz"), ("hz", False, "hz"),
    )
)  # fmt: skip
RATE = re.compile(r"/s(ec(onds?)?)?$")
COUNTED = re.compile(
    r"(tok|token|sample|step|image|img|example|batch|it|iter|iteration|frame|row|byte|seq|flop)(e?s)?$", re.I
)
OWN = re.compile(r"[/.:]")  # what follows is the name within its group
BEFORE_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
SEPARATORS = re.compile(r"[^a-z0-9]+")


@lru_cache(maxsize=2**15)
def get_unit(name: str) -> str:
    """Return the unit of a metric; '' for a plain number or an unknown unit."""
    if name in BY_NAME:
        return BY_NAME[name].unit
    quantity = RATE.sub("", name)
    whole = f"{quantity}_per_s" if quantity != name and COUNTED.search(quantity) else name
    own = BEFORE_CAPITAL.sub("_", OWN.split(whole)[-1].replace("iB", "ib")).lower()
    text = SEPARATORS.sub("_", own).strip("_")
    return next((unit for pattern, unit in UNITS if pattern.search(text)), "")

"""Limits of a point: metric name, source, step, time and value.

Every way into the series (points API, MLflow's API, spool lines, importers) asks these functions, and the client
package copies the constants (tests/fourwalls/test_limits.py compares them). Where the ways in differed before, the rule
that loses no valid data was chosen: any signed 64-bit step, the whole year 9999, `host:` beside `device:` sources, any
metric name that a column can hold. NaN and both infinities are values like any other.
"""

from __future__ import annotations

import re

METRIC_CHARS = 250  # characters of a metric name, as the columns of the database have it
SOURCE_CHARS = 80  # characters after `device:` or `host:`
SOURCE = re.compile(
    rf"run|rank[0-9]{{1,6}}|device:[\w.:-]{{1,{SOURCE_CHARS}}}|host:[\w.-]{{1,{SOURCE_CHARS}}}"
)
NO_STEP = -(2**63)  # the lowest signed 64-bit integer marks a point without a step
FIRST_STEP, LAST_STEP = NO_STEP + 1, 2**63 - 1
END_S = 253_402_300_800  # unix time at which the year 10000 begins; times are in [0, END_S)
END_US = END_S * 1_000_000

NAME_RULE = f"a metric name has 1 to {METRIC_CHARS} characters, not all of them spaces, and no NUL character"
SOURCE_RULE = "a source is run, rank<N>, device:<id> or host:<name>"
STEP_RULE = "a step is a signed 64-bit integer"
TIME_RULE = "a time is a number of seconds since 1970, in the years 1970 to 9999"
VALUE_RULE = "a value is a 64-bit floating-point number, NaN, Infinity or -Infinity"


def name_error(name: str) -> str:
    """The rule that a metric name breaks; '' for a valid one."""
    if not 0 < len(name) <= METRIC_CHARS or "\0" in name or name.isspace():
        return NAME_RULE
    try:
        name.encode()
    except UnicodeEncodeError:  # one half of a surrogate pair
        return "a metric name is valid Unicode text"
    return ""


def source_error(source: str) -> str:
    return "" if SOURCE.fullmatch(source) else SOURCE_RULE


def step_error(step: int | None) -> str:
    return "" if step is None or FIRST_STEP <= step <= LAST_STEP else STEP_RULE


def time_error(at_s: float) -> str:
    """NaN and infinities break the rule as well."""
    return "" if 0 <= at_s < END_S else TIME_RULE


def value_error(value: float) -> str:
    """An integer beyond the largest float is no value."""
    try:
        float(value)
    except OverflowError:
        return VALUE_RULE
    return ""


def point_error(metric: str, source: str, step: int | None, at_s: float, value: float) -> str:
    """The first rule that a point breaks; '' for a valid point."""
    return (
        time_error(at_s)
        or step_error(step)
        or name_error(metric)
        or source_error(source)
        or value_error(value)
    )

"""Series of runs: exactly-once writes, reads for charts, and what exists."""

from jobs.series.codec import Point, kind_of
from jobs.series.counters import counted
from jobs.series.extremes import Spread, joules_per_token, peaks
from jobs.series.names import Name, last_steps, metrics_of, names
from jobs.series.newest import newest, plain
from jobs.series.raw import Raw, raw, raw_of_runs
from jobs.series.read import Series, TooMuch, read
from jobs.series.thin import thinned
from jobs.series.write import append, append_columns, close, contiguous_end, fold

__all__ = [
    "Name",
    "Point",
    "Raw",
    "Series",
    "Spread",
    "TooMuch",
    "append",
    "append_columns",
    "close",
    "contiguous_end",
    "counted",
    "fold",
    "joules_per_token",
    "kind_of",
    "last_steps",
    "metrics_of",
    "names",
    "newest",
    "peaks",
    "plain",
    "raw",
    "raw_of_runs",
    "read",
    "thinned",
]

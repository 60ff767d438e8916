"""Series of runs: exactly-once writes, reads for charts, and what exists."""

from jobs.series.codec import Point, non_finite_name
from jobs.series.counters import counter_values
from jobs.series.delete import delete_series
from jobs.series.extremes import Extreme, Spread, extremes_of_runs, joules_per_token, peaks
from jobs.series.names import SeriesName, last_steps, metrics_of, names
from jobs.series.newest import newest, plain
from jobs.series.raw import Raw, raw, raw_of_runs
from jobs.series.read import Series, TooMuch, read
from jobs.series.thin import thin
from jobs.series.write import append, append_columns, close, contiguous_end, fold

__all__ = [
    "Extreme",
    "Point",
    "Raw",
    "Series",
    "SeriesName",
    "Spread",
    "TooMuch",
    "append",
    "append_columns",
    "close",
    "contiguous_end",
    "counter_values",
    "delete_series",
    "extremes_of_runs",
    "fold",
    "joules_per_token",
    "last_steps",
    "metrics_of",
    "names",
    "newest",
    "non_finite_name",
    "peaks",
    "plain",
    "raw",
    "raw_of_runs",
    "read",
    "thin",
]

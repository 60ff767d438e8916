"""Choice and reading of the loss curves of a run."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from engine.health.curves import Curve
from jobs import series
from jobs.models import Run
from jobs.series.codec import NO_STEP
from jobs.series.metric_roles import LOSS, PLAIN_WORDS, VALIDATION_WORDS, split_words


def choose_losses(
    names: Iterable[series.SeriesName],
) -> tuple[series.SeriesName | None, series.SeriesName | None]:
    """The training loss and the validation loss among the series of a run, by the words of their names. Of several,
    the run's own source and the plainest name win, then the one with the most points."""
    found: dict[bool, list[tuple[tuple[int, bool, int, int, str], series.SeriesName]]] = {False: [], True: []}
    for name in names:
        words = split_words(name.metric)
        if LOSS in words:
            further = set(words) - PLAIN_WORDS - VALIDATION_WORDS
            rank = (len(further), name.source != "run", len(words), -name.count, name.metric)
            found[bool(VALIDATION_WORDS & set(words))].append((rank, name))
    training, validation = (min(ranked)[1] if ranked else None for ranked in (found[False], found[True]))
    return training, validation


def read_curve(run: Run, name: series.SeriesName) -> Curve:
    """All attempts of the run; the newest value of a step counts. Values without a step are counted."""
    columns = series.raw_of_runs([run.id], name.metric, name.source).get(run.id)
    if columns is None:
        return Curve(np.empty(0, np.int64), np.empty(0))
    if (columns.steps == NO_STEP).all():
        return Curve(np.arange(len(columns.values)), columns.values)
    has_step = columns.steps != NO_STEP
    return Curve.from_points(columns.steps[has_step], columns.values[has_step])

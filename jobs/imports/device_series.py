"""Readings of devices, from the system metrics of an imported run.

The imported series stay as they are; the hardware charts and the verdict read the copies.
"""

from __future__ import annotations

from django.db import transaction

from jobs import series
from jobs.models import Run, Stream
from jobs.series.codec import NO_STEP, Columns, Key, concatenate
from jobs.tracking import system_metrics

STREAM = "import-devices"


def has_device_series(run: Run) -> bool:
    return Stream.objects.filter(run=run, name=STREAM).exists()


def store_device_series(run: Run) -> int:
    """Write the readings of devices again, from all system metrics that are stored. Returns the number of series."""
    wanted = {name.metric for name in series.names(run.id) if name.source == "run"}
    wanted = {name for name in wanted if system_metrics.locate(name).source != "run"}
    groups: dict[int, dict[Key, Columns]] = {}
    for one in series.raw(run.id, wanted) if wanted else ():
        place = system_metrics.locate(one.metric)
        if one.source == "run":
            steps = one.columns.steps * 0 + NO_STEP  # a reading belongs to a time
            columns = one.columns._replace(steps=steps, values=one.columns.values * place.scale)
            own, key = groups.setdefault(one.attempt, {}), (place.metric, place.source)
            own[key] = concatenate([own[key], columns]) if key in own else columns
    with transaction.atomic():
        Stream.objects.filter(run=run, name=STREAM).delete()
        for attempt, some in groups.items():
            series.append_columns(run.id, attempt, STREAM, 0, some)
            series.close(run.id, attempt)
    return sum(map(len, groups.values()))

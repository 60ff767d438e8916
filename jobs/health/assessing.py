"""Health of runs as stored rows, renewed as a run goes on."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from django.utils import timezone

from engine.health.assess import HEALTH_VERSION, TrainingHealth, assess
from jobs import series
from jobs.health.curves import choose_losses, read_curve
from jobs.models import Run, RunHealth
from jobs.states.jobs import FINAL

TITLES = ("training loss", "validation loss")
OWN_NAMES = ("loss", "validation_loss")  # of runs that Fourwalls trains
FRESH = timedelta(seconds=10)  # a page that refreshes faster gets the same health


def assess_run(run: Run) -> TrainingHealth:
    """Read the curves, judge them and store what they show."""
    is_final = _state(run) in FINAL
    training, validation = choose_losses(series.names(run.id))
    curves = [read_curve(run, name) if name else None for name in (training, validation)]
    health = assess(curves[0], curves[1], (_title(training, TITLES[0]), _title(validation, TITLES[1])))
    steps = [int(curve.steps[-1]) for curve in curves if curve is not None and len(curve)]
    RunHealth.objects.update_or_create(
        run=run,
        defaults={
            "version": HEALTH_VERSION,
            "at": timezone.now(),
            "step": max(steps, default=None),
            "is_final": is_final,
            "name": health.name,
            "severity": health.severity,
            "body": msgspec.to_builtins(health),
        },
    )
    return health


def get_current(run: Run) -> TrainingHealth:
    """The stored health, or a new one if the run has gone on since."""
    stored = RunHealth.objects.filter(run=run).first()
    if stored is None or stored.version != HEALTH_VERSION:
        return assess_run(run)
    is_over = _state(run) in FINAL
    if stored.is_final != is_over or (not is_over and timezone.now() - stored.at >= FRESH):
        return assess_run(run)
    return msgspec.convert(stored.body, TrainingHealth)


def _title(name: series.SeriesName | None, usual: str) -> str:
    return usual if name is None or name.metric in OWN_NAMES else f"{usual} ({name.metric[:60]})"


def _state(run: Run) -> str:
    return run.job.state if run.job is not None else run.state

"""Clocks and hosts that the writers of a run report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.request_limits import RUN_HOSTS
from engine.telemetry.clock import BY_NAME
from jobs.models import Run, RunClock, RunHost, Stream
from jobs.tracking.external_runs import TrackingError
from jobs.tracking.points import PREFIX

SLACK_S = 1.0  # of the sum of the parts against the time, beside one per cent


def store_clock(
    run: Run,
    stream: str,
    *,
    began_at: float,
    at: float,
    seconds: Mapping[str, float],
    **counts: Any,
) -> None:
    """Store the clock of a writer, unless it has reported a later one. Raises TrackingError for parts that are unknown,
    or that do not add up to the time."""
    if unknown := seconds.keys() - BY_NAME.keys():
        raise TrackingError(f"'{min(unknown)[:50]}' is no part of the clock. Use {', '.join(BY_NAME)}.")
    wall_s, total_s = at - began_at, sum(seconds.values())
    if not all(math.isfinite(value) and value >= 0 for value in (began_at, at, wall_s, *seconds.values())):
        raise TrackingError("A clock has finite times and parts of at least 0 s, and ends after its begin.")
    if abs(wall_s - total_s) > SLACK_S + 0.01 * wall_s:
        raise TrackingError(f"The parts add up to {total_s:.3f} s, the time of the clock is {wall_s:.3f} s.")
    known = RunClock.objects.filter(run=run, stream=stream)
    if known.filter(at__gt=at).exists():
        return
    own = Stream.objects.filter(run=run, name=PREFIX + stream).values_list("attempt", flat=True).first()
    values = {"began_at": began_at, "at": at, "seconds": dict(seconds), **counts}
    RunClock.objects.update_or_create(run=run, stream=stream, defaults={"attempt": own or 1, **values})


def store_host(run: Run, name: str, facts: Mapping[str, Any], devices: Sequence[Mapping[str, Any]]) -> None:
    """Store a machine of a run, replacing what it reported before. Raises TrackingError for too many machines."""
    others = RunHost.objects.filter(run=run).exclude(name=name).count()
    if broken := RUN_HOSTS.error(others + 1):
        raise TrackingError(broken)
    values = {"facts": dict(facts), "devices": [dict(device) for device in devices]}
    RunHost.objects.update_or_create(run=run, name=name, defaults=values)

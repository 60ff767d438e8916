"""Storage that a team uses, and its limits."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Sum

from jobs.models import Artefact, Dataset, RunMetric, Team

POINTS_COUNTED_S = 60.0  # a sum over all metrics of a team takes 0.2 s per million of them

_points: dict[int, tuple[float, int]] = {}  # team -> when counted, how many


class QuotaReached(Exception):
    """A team has no room for more; the message names the team, what it has, its limit and the way out."""


@dataclass(frozen=True)
class StorageUse:
    artefact_bytes: int
    dataset_bytes: int
    num_points: int


def get_use(team: Team) -> StorageUse:
    return StorageUse(_artefact_bytes(team), _dataset_bytes(team), _count_points(team))


def refuse_artefact(team: Team, more_bytes: int = 0) -> None:
    """Raises QuotaReached if the team's artefacts and these bytes exceed its limit."""
    limit = _limit(team.artefact_limit_bytes, settings.TEAM_ARTEFACT_BYTES)
    _refuse(team, "bytes of artefacts", _artefact_bytes(team) if limit else 0, more_bytes, limit)


def refuse_dataset(team: Team, more_bytes: int = 0) -> None:
    """Raises QuotaReached if the team's data sets and these bytes exceed its limit."""
    limit = _limit(team.dataset_limit_bytes, settings.TEAM_DATASET_BYTES)
    _refuse(team, "bytes of data sets", _dataset_bytes(team) if limit else 0, more_bytes, limit)


def refuse_points(team: Team) -> None:
    """Raises QuotaReached if the team has its limit of points. Points of the last minute may not be counted yet."""
    limit = _limit(team.points_limit, settings.TEAM_POINTS)
    if not limit:
        return
    now = time.monotonic()
    counted_at, number = _points.get(team.id, (-POINTS_COUNTED_S, 0))
    if now - counted_at >= POINTS_COUNTED_S:
        number = _count_points(team)
        _points[team.id] = now, number
    _refuse(team, "points", number, 0 if number < limit else 1, limit)


def _limit(own: int | None, default: int) -> int:
    return default if own is None else own


def _refuse(team: Team, what: str, used: int, more: int, limit: int) -> None:
    if limit and used + more > limit:
        raise QuotaReached(
            f"Team {team.name} has {used:,} of its {limit:,} {what}; there is no room for more. "
            "Delete some that are no longer needed, or ask an admin to raise the team's limit."
        )


def _artefact_bytes(team: Team) -> int:
    return Artefact.objects.filter(run__team=team).aggregate(sum=Sum("size_bytes"))["sum"] or 0


def _dataset_bytes(team: Team) -> int:
    return Dataset.objects.filter(team=team).aggregate(sum=Sum("size_bytes"))["sum"] or 0


def _count_points(team: Team) -> int:
    return RunMetric.objects.filter(run__team=team).aggregate(sum=Sum("count"))["sum"] or 0

"""Storing a foreign run: made once, and each point once, however often its files are brought in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Max, Sum

from engine.request_limits import KEY_CHARS, NOTE_CHARS, TAG_CHARS
from engine.telemetry import point_limits
from jobs import series
from jobs.imports.foreign import ForeignRun, Part
from jobs.models import Batch, Project, Run, RunTag, StoredSeries, Stream, Team
from jobs.tracking import external_runs, params, run_annotations

KEY_TAG = "fourwalls.imported_from"
BATCH_POINTS = 10_000


@dataclass(frozen=True)
class Taken:
    """What one import did of one run."""

    run: Run
    is_new: bool
    num_points: int  # added now
    left_out: dict[str, int]  # what has no place in a series, by name


def take(foreign: ForeignRun, *, team: Team, owner: User, project: str = "") -> Taken:
    """Bring a run in, or what it has gained since the last time. `project` overrides its own."""
    run, is_new = _run_of(foreign, team, owner, project or foreign.project)
    added, left_out = 0, Counter(foreign.left_out)
    for part in foreign.parts:
        added += _store(run, part, left_out)
    for attempt in {part.attempt for part in foreign.parts}:
        series.close(run.id, attempt)
    external_runs.set_state(run, foreign.state, actor=owner.get_username(), ended_at=foreign.ended_at)
    return Taken(run, is_new, added, dict(left_out))


@transaction.atomic
def _run_of(foreign: ForeignRun, team: Team, owner: User, project: str) -> tuple[Run, bool]:
    """The team's row is locked, so that two imports at once make one run."""
    Team.objects.select_for_update().get(id=team.id)
    known = (
        RunTag.objects.filter(run__team=team, key=KEY_TAG, value=foreign.key).select_related("run").first()
    )
    if known:
        return known.run, False
    kept = {
        key.replace("\0", "")[:KEY_CHARS]: value.replace("\0", "")[:TAG_CHARS]
        for key, value in foreign.tags.items()
    }
    run = external_runs.create(
        team=team,
        owner=owner,
        name=foreign.name.replace("\0", "") or foreign.key,
        origin=foreign.origin,
        project=Project.objects.get_or_create(team=team, name=project[:250])[0] if project else None,
        started_at=foreign.started_at,
        tags={key: value for key, value in kept.items() if key} | {KEY_TAG: foreign.key},
    )
    if foreign.note:
        note = foreign.note.replace("\0", "")[:NOTE_CHARS]
        run_annotations.change(run, actor=owner.get_username(), note=note)
    params.store(
        run, {key[:KEY_CHARS]: value.replace("\0", "") for key, value in foreign.params.items() if key}
    )
    return run, True


def _store(run: Run, part: Part, left_out: Counter[str]) -> int:
    """Skips the points that the stream has, which are the first of the part, and adds the rest as new batches."""
    stream, _ = Stream.objects.get_or_create(run=run, attempt=part.attempt, name=part.stream)
    series.fold(stream.id)
    stream.refresh_from_db()
    known = StoredSeries.objects.filter(stream=stream).aggregate(count=Sum("count"))["count"] or 0
    waiting = Batch.objects.filter(stream=stream).aggregate(seq=Max("seq"))["seq"]
    assert waiting is None, "batches of an import have no holes"
    rest = islice(_valid(part.points, left_out), known, None)
    added, seq = 0, stream.last_seq + 1
    while points := list(islice(rest, BATCH_POINTS)):
        series.append(run.id, part.attempt, part.stream, seq, points)
        added, seq = added + len(points), seq + 1
    return added


def _valid(points: Iterable[series.Point], left_out: Counter[str]) -> Iterator[series.Point]:
    """The points that keep the rules; the others are counted by the rule that they break."""
    for point in points:
        if broken := point_limits.point_error(*point):
            left_out[f"point ({broken})"] += 1
        else:
            yield point


def link(team: Team, parents: Mapping[str, str]) -> None:
    """Nested runs below their parents: {run: key of the parent}. A parent that was not brought in is left out."""
    keys = RunTag.objects.filter(run__team=team, key=KEY_TAG, value__in=set(parents.values()))
    known = dict(keys.values_list("value", "run_id"))
    for run_id, key in parents.items():
        if key in known:
            Run.objects.filter(id=run_id).update(parent_id=known[key])


def left_out_in_words(left_out: Iterable[tuple[str, int]]) -> str:
    """'3 x hist (no scalar), 2 x artefacts'."""
    return ", ".join(f"{count} x {name}" for name, count in left_out)

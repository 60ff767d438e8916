"""Storage of an imported run.

A run is created once and each point is stored once, however often its files are imported.
"""

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
from jobs.imports.foreign import ForeignRun, ForeignStream
from jobs.models import Batch, Project, Run, RunTag, StoredSeries, Stream, Team
from jobs.tracking import external_runs, params, run_annotations

KEY_TAG = "fourwalls.imported_from"
BATCH_POINTS = 10_000


@dataclass(frozen=True)
class ImportResult:
    """Result of importing one run."""

    run: Run
    is_new: bool
    num_points: int  # added by this import
    left_out: dict[str, int]  # name -> count of data that has no place in a series


def import_run(foreign: ForeignRun, *, team: Team, owner: User, project: str = "") -> ImportResult:
    """Import a run, or the points it has gained since the last import. `project` overrides the run's own."""
    run, is_new = _get_or_create_run(foreign, team, owner, project or foreign.project)
    added, left_out = 0, Counter(foreign.left_out)
    for stream in foreign.streams:
        added += _append_new_points(run, stream, left_out)
    for attempt in {stream.attempt for stream in foreign.streams}:
        series.close(run.id, attempt)
    external_runs.set_state(run, foreign.state, actor=owner.get_username(), ended_at=foreign.ended_at)
    return ImportResult(run, is_new, added, dict(left_out))


@transaction.atomic
def _get_or_create_run(foreign: ForeignRun, team: Team, owner: User, project: str) -> tuple[Run, bool]:
    """Find or create the run; the team's row is locked, so two concurrent imports create one run."""
    Team.objects.select_for_update().get(id=team.id)
    known = (
        RunTag.objects.filter(run__team=team, key=KEY_TAG, value=foreign.key).select_related("run").first()
    )
    if known:
        return known.run, False
    tags = {
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
        tags={key: value for key, value in tags.items() if key} | {KEY_TAG: foreign.key},
    )
    if foreign.note:
        note = foreign.note.replace("\0", "")[:NOTE_CHARS]
        run_annotations.change(run, actor=owner.get_username(), note=note)
    params.store(
        run, {key[:KEY_CHARS]: value.replace("\0", "") for key, value in foreign.params.items() if key}
    )
    return run, True


def _append_new_points(run: Run, foreign: ForeignStream, left_out: Counter[str]) -> int:
    """Append the points behind those already stored, as new batches; return how many."""
    stream, _ = Stream.objects.get_or_create(run=run, attempt=foreign.attempt, name=foreign.name)
    series.fold(stream.id)
    stream.refresh_from_db()
    num_known = StoredSeries.objects.filter(stream=stream).aggregate(count=Sum("count"))["count"] or 0
    waiting = Batch.objects.filter(stream=stream).aggregate(seq=Max("seq"))["seq"]
    assert waiting is None, "batches of an import have no holes"
    new_points = islice(_valid(foreign.points, left_out), num_known, None)
    added, seq = 0, stream.last_seq + 1
    while points := list(islice(new_points, BATCH_POINTS)):
        series.append(run.id, foreign.attempt, foreign.name, seq, points)
        added, seq = added + len(points), seq + 1
    return added


def _valid(points: Iterable[series.Point], left_out: Counter[str]) -> Iterator[series.Point]:
    """Yield the points that keep the rules; count the others by the rule that they break."""
    for point in points:
        if broken := point_limits.point_error(*point):
            left_out[f"point ({broken})"] += 1
        else:
            yield point


def link_parents(team: Team, parents: Mapping[str, str]) -> None:
    """Set the parents of nested runs ({run id: key of the parent}); a parent that was not imported is left out."""
    keys = RunTag.objects.filter(run__team=team, key=KEY_TAG, value__in=set(parents.values()))
    known = dict(keys.values_list("value", "run_id"))
    for run_id, key in parents.items():
        if key in known:
            Run.objects.filter(id=run_id).update(parent_id=known[key])


def format_left_out(left_out: Iterable[tuple[str, int]]) -> str:
    """'3 x hist (no scalar), 2 x artefacts'."""
    return ", ".join(f"{count} x {name}" for name, count in left_out)

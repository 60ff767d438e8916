"""Storage of an imported run.

A run is created once and each point is stored once, however often its files are imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from engine.request_limits import (
    KEY_CHARS,
    NOTE_CHARS,
    PARAM_CHARS,
    PROJECT_NAME_CHARS,
    REQUEST_PARAMS,
    REQUEST_TAGS,
    TAG_CHARS,
)
from jobs.imports.device_series import has_device_series, store_device_series
from jobs.imports.foreign import UNKNOWN_TAG, ForeignRun, clean_text, earliest, printable, shorten_name
from jobs.imports.points import StoredPoints, joined, num_shared, store_points, stored_points
from jobs.models import Project, Run, RunEvent, RunParam, RunTag, Team
from jobs.tracking import external_runs, params, projects, run_annotations

KEY_TAG = "fourwalls.imported_from"
LISTED_NAMES = 30
SAME_NAMED = 50  # stored runs with the same folder name whose points are compared


@dataclass(frozen=True)
class ImportResult:
    """Result of importing one run."""

    run: Run
    is_new: bool
    num_points: int  # added by this import
    num_only_here: int  # stored by an earlier import, and not in these files
    left_out: dict[str, int]  # name -> count of data that has no place here


def import_run(
    foreign: ForeignRun, *, team: Team, owner: User, project: str = "", claimed: set[str] | None = None
) -> ImportResult:
    """Import a run, or what it has gained since the last import. `project` overrides the run's own. `claimed`: ids of
    the runs that other runs of the same store have become; this run's is added."""
    claimed = set() if claimed is None else claimed
    run, is_new = _get_or_create_run(foreign, team, owner, project or foreign.project, claimed)
    claimed.add(run.id)
    _update_texts(run, foreign, owner)
    points = store_points(run, foreign.writers)
    if points.num_added or not has_device_series(run):
        store_device_series(run)
    _set_state(run, foreign, owner)
    return _result(run, is_new, points, foreign)


def _result(run: Run, is_new: bool, points: StoredPoints, foreign: ForeignRun) -> ImportResult:
    left_out = {clean_text(name): count for name, count in foreign.left_out.items()}
    return ImportResult(run, is_new, points.num_added, 0 if is_new else points.num_only_here, left_out)


def _set_state(run: Run, foreign: ForeignRun, owner: User) -> None:
    """Set state, start, end and archiving; a run without a recorded end ended with its last point."""
    span = foreign.span_us()
    first, last = (datetime.fromtimestamp(end / 1e6, UTC) if end else None for end in span or (0, 0))
    started = foreign.started_at or first
    if started and (run.started_at is None or started < run.started_at):
        Run.objects.filter(id=run.id).update(started_at=started)
    ended = foreign.ended_at or last or started
    external_runs.set_state(run, foreign.state, actor=owner.get_username(), ended_at=ended)
    was_archived = RunEvent.objects.filter(run=run, kind="run.archived").exists()
    if foreign.is_archived and not was_archived:  # a person may have restored it since
        run_annotations.archive(Run.objects.filter(id=run.id), actor=owner.get_username())


@transaction.atomic
def _get_or_create_run(
    foreign: ForeignRun, team: Team, owner: User, project: str, claimed: set[str]
) -> tuple[Run, bool]:
    """Find or create the run; the team's row is locked, so two concurrent imports create one run."""
    Team.objects.select_for_update().get(id=team.id)
    key, known = _find_run(foreign, team, claimed)
    if known:
        RunTag.objects.filter(run=known, key=KEY_TAG).exclude(value=key).update(value=key)
        return known, False
    span = foreign.span_us()
    first = datetime.fromtimestamp(span[0] / 1e6, UTC) if span and span[0] else None
    started = earliest([foreign.started_at or first, foreign.ended_at]) or timezone.now()
    run = external_runs.create(
        team=team,
        owner=owner,
        name=clean_text(foreign.name).strip() or foreign.key,
        origin=foreign.origin,
        project=_project(team, project),
        started_at=started,
        tags={KEY_TAG: key},
    )
    return run, True


def _project(team: Team, name: str) -> Project | None:
    name = shorten_name(clean_text(name), PROJECT_NAME_CHARS).strip()
    return projects.get_or_create(team, name) if name else None


def _find_run(foreign: ForeignRun, team: Team, claimed: set[str]) -> tuple[str, Run | None]:
    """The key under which the run is to be stored, and the run that an earlier import stored."""
    all_tags = RunTag.objects.filter(run__team=team, key=KEY_TAG)
    tags = all_tags.exclude(run__in=claimed).select_related("run")
    base = clean_text(foreign.key)[:TAG_CHARS]
    taken = set(
        RunTag.objects.filter(run__team=team, key=KEY_TAG, value__startswith=base).values_list(
            "value", flat=True
        )
    )
    keys = [base, *(key for number in range(2, len(taken) + 2) if (key := f"{base}#{number}") in taken)]
    for tag in sorted(tags.filter(value__in=keys), key=lambda tag: keys.index(tag.value)):
        if not foreign.is_by_content or _shares_points(tag.run, foreign):
            return tag.value, tag.run
    for tag in _former(foreign, tags):
        if _is_former(tag, foreign):
            return _free_key(base, taken), tag.run
        if tag.value in foreign.former_keys:
            foreign.notes.append(
                f"run {tag.run_id} was imported under the name of an event file that several folders share; "
                "it holds points of others and stays as it is"
            )
    return _free_key(base, taken), None


def _free_key(base: str, taken: set[str]) -> str:
    """The key, with a number if another run has it."""
    number = 1
    while (key := base if number == 1 else f"{base}#{number}") in taken:
        number += 1
    return key


def _former(foreign: ForeignRun, tags: QuerySet[RunTag]) -> list[RunTag]:
    """Stored runs that may be this one under another key; those of the same name first."""
    matches = Q(value__in=foreign.former_keys)
    if foreign.is_by_content:
        prefix = ":".join(foreign.key.split(":")[:2]) + ":"
        last = foreign.key.removeprefix(prefix).rpartition("/")[2]
        matches |= Q(value__startswith=prefix, value__endswith=f"/{last}")
        matches |= Q(value=f"{prefix}{last}")
    found = list(tags.filter(matches).order_by("id")[:SAME_NAMED])
    return sorted(found, key=lambda tag: tag.run.name != foreign.name)


def _is_former(tag: RunTag, foreign: ForeignRun) -> bool:
    """Whether a run stored under another key is this one. Under the key of an earlier version, it must hold nothing
    else; under that of another folder, one must hold all points of the other."""
    if not foreign.is_by_content:
        return True
    num_stored, num_here, shared = _compare(tag.run, foreign)
    if tag.value in foreign.former_keys:
        return num_stored == shared
    return 0 < min(num_stored, num_here) == shared


def _shares_points(run: Run, foreign: ForeignRun) -> bool:
    """Whether a run stored under the same key is this one: half of the points of the shorter one are in the other."""
    num_stored, num_here, shared = _compare(run, foreign)
    return 2 * shared >= min(num_stored, num_here)


def _compare(run: Run, foreign: ForeignRun) -> tuple[int, int, int]:
    """The number of points that are stored, that are in the files, and that are in both."""
    stored = joined(stored_points(run))
    num_stored = sum(len(columns.steps) for columns in stored.values())
    num_here = sum(len(points) for writer in foreign.writers for points in writer.series.values())
    return num_stored, num_here, num_shared(stored, foreign.writers) if num_stored and num_here else 0


def _update_texts(run: Run, foreign: ForeignRun, owner: User) -> None:
    """Store note, tags and parameters that the run has gained. Tags and notes that people may have written stay."""
    tags = {
        shorten_name(clean_text(key), KEY_CHARS): clean_text(value) for key, value in foreign.tags.items()
    }
    if num_long := sum(len(value) > TAG_CHARS for value in tags.values()):
        foreign.left_out["ends of long tags"] += num_long
    tags = {key: value[:TAG_CHARS] for key, value in tags.items()}
    if foreign.unknown_state:
        tags[UNKNOWN_TAG] = foreign.unknown_state[:TAG_CHARS]
    else:
        external_runs.drop_tags(run, [UNKNOWN_TAG])
    known = set(RunTag.objects.filter(run=run).values_list("key", flat=True))
    new = {key: value for key, value in tags.items() if key and key not in known}
    external_runs.set_tags(run, _first(new, REQUEST_TAGS, foreign, "tags over the limit"))
    note = clean_text(foreign.note)
    if len(note) > NOTE_CHARS:
        foreign.left_out["ends of long notes"] += 1
    if note and not run.note:
        run_annotations.change(run, actor=owner.get_username(), note=note[:NOTE_CHARS])
    _store_params(run, foreign)


def _store_params(run: Run, foreign: ForeignRun) -> None:
    """Add parameters. The files are the truth, so a changed value replaces the stored one."""
    values = {}
    for key, value in foreign.params.items():
        if name := shorten_name(clean_text(key), KEY_CHARS):
            text = clean_text(value)
            if len(text) > PARAM_CHARS:
                foreign.left_out["ends of long parameters"] += 1
            values[name] = text[:PARAM_CHARS]
    values = _first(values, REQUEST_PARAMS, foreign, "parameters over the limit")
    known = dict(RunParam.objects.filter(run=run).values_list("key", "value"))
    for key in values:
        if key in known and known[key] != values[key]:
            changed = RunParam.objects.filter(run=run, key=key)
            changed.update(value=values[key], number=params.as_number(values[key]))
    params.store(run, {key: value for key, value in values.items() if key not in known})


def _first(values: dict[str, str], limit: int, foreign: ForeignRun, name: str) -> dict[str, str]:
    if len(values) > limit:
        foreign.left_out[name] += len(values) - limit
    return dict(list(values.items())[:limit])


def link_parents(team: Team, parents: Mapping[str, str]) -> None:
    """Set the parents of nested runs ({run id: key of the parent}); a parent that was not imported is left out."""
    keys = RunTag.objects.filter(run__team=team, key=KEY_TAG, value__in=set(parents.values()))
    known = dict(keys.values_list("value", "run_id"))
    for run_id, key in parents.items():
        if key in known and known[key] != run_id:
            Run.objects.filter(id=run_id).update(parent_id=known[key])


def format_left_out(left_out: Iterable[tuple[str, int]]) -> str:
    """'3 x hist (no scalar), 2 x artefacts', the most frequent first."""
    counted = sorted(left_out, key=lambda one: -one[1])
    texts = [f"{count} x {printable(name)}" for name, count in counted[:LISTED_NAMES]]
    if more := sum(count for _, count in counted[LISTED_NAMES:]):
        texts.append(f"{more} x others")
    return ", ".join(texts)

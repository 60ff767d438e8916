"""Locations of the checkpoints from which jobs continue."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import BooleanField, Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from jobs.lifecycle.resumption import COUNTED, NEWEST_FIRST, USABLE
from jobs.models import Checkpoint, CheckpointCopy, Job, Node
from jobs.nodes import folders
from jobs.nodes.heartbeat import alive_since
from jobs.states.nodes import AdminState, Health

COPYING, READY, FAILED = CheckpointCopy.CopyState
RETIRED = "is retired"
RETRY_AFTER = timedelta(seconds=60)  # a copy that failed is tried again


@dataclass(frozen=True)
class Holder:
    """A node that holds a checkpoint. `away`: why its files cannot be read now; '' if they can."""

    id: str
    name: str
    away: str


@dataclass(frozen=True)
class Location:
    """Where the data lies from which a job continues."""

    checkpoint: Checkpoint | None = None  # None: all are lost
    holders: tuple[Holder, ...] = ()  # the node that saved it first
    is_start: bool = False  # the initial weights of another run, since the job has no checkpoint of its own
    failure: str = field(default="")  # why copying it to another node has just failed

    @property
    def step(self) -> int:
        return self.checkpoint.step if self.checkpoint else 0

    @property
    def reachable(self) -> list[Holder]:
        return [holder for holder in self.holders if not holder.away]

    @property
    def is_reachable(self) -> bool:
        return bool(self.reachable)


def locate(jobs: QuerySet[Job]) -> dict[str, Location]:
    """Return job -> location, for jobs that continue from a checkpoint. A constant number of queries.

    Jobs that have never saved one and start from new weights are left out.
    """
    own = Checkpoint.objects.filter(attempt__job=OuterRef("pk"))
    rows = (
        jobs.filter(Q(attempt_number__gt=0) | Q(start_checkpoint__isnull=False))
        .order_by()
        .annotate(
            newest=Subquery(own.filter(USABLE).order_by(*NEWEST_FIRST).values("id")[:1]),
            has_counted=Exists(own.filter(COUNTED)),
        )
        .values_list("id", "newest", "has_counted", "start_checkpoint")
    )
    chosen: dict[str, tuple[int | None, bool]] = {}
    for job, newest, has_counted, start in rows:
        if has_counted:
            chosen[job] = (newest, False)
        elif start is not None:
            chosen[job] = (start, True)
    if not chosen:
        return {}
    wanted = {pk for pk, _ in chosen.values() if pk is not None}
    found = {row.id: row for row in Checkpoint.objects.filter(id__in=wanted).select_related("attempt__node")}
    places, failures = _places(found.values())
    return {
        job: _location(found.get(pk or 0), is_start, places, failures)
        for job, (pk, is_start) in chosen.items()
    }


def locate_job(job_id: str) -> Location | None:
    """Return the location for one job; None if it continues from no checkpoint."""
    return locate(Job.objects.filter(id=job_id)).get(job_id)


def locate_checkpoint(row: Checkpoint) -> Location:
    """Return where one checkpoint lies."""
    places, failures = _places([row])
    return _location(row, False, places, failures)


def list_reachable(rows: Iterable[Checkpoint]) -> list[Checkpoint]:
    """Return those checkpoints that some node can read now. A constant number of queries."""
    rows = list(rows)
    places, _ = _places(rows)
    return [row for row in rows if any(not holder.away for holder in places[row.id])]


def _location(
    row: Checkpoint | None, is_start: bool, places: dict[int, list[Holder]], failures: dict[int, str]
) -> Location:
    if row is None or row.gone_at is not None or row.damage:
        return Location(is_start=is_start)
    return Location(row, tuple(places[row.id]), is_start, failures.get(row.id, ""))


def _places(rows: Iterable[Checkpoint]) -> tuple[dict[int, list[Holder]], dict[int, str]]:
    """Return checkpoint -> nodes that hold it, and checkpoint -> why copying has just failed."""
    rows = list(rows)
    copies: defaultdict[int, list[CheckpointCopy]] = defaultdict(list)
    for copy in CheckpointCopy.objects.filter(checkpoint__in=rows).select_related("node"):
        copies[copy.checkpoint_id].append(copy)
    roots = {row.root_id for row in rows} | {c.root_id for group in copies.values() for c in group}
    nodes = _read_nodes(rows, copies, roots - {""})
    places: dict[int, list[Holder]] = {}
    failures: dict[int, str] = {}
    for row in rows:
        found: dict[str, Holder] = {}
        for node_id, root_id, is_shared in [
            (row.attempt.node_id, row.root_id, row.is_shared),
            *((c.node_id, c.root_id, bool(c.root_id)) for c in copies[row.id] if c.state == READY),
        ]:
            if root_id:
                found |= {n["id"]: _holder(n) for n in nodes.values() if n["root"] == root_id}
            if node_id not in found:
                is_unseen = is_shared and bool(root_id)
                found[node_id] = _holder(
                    nodes[node_id], "does not see the shared folder" if is_unseen else ""
                )
        places[row.id] = list(found.values())
        recent = [c for c in copies[row.id] if c.state == FAILED and _is_recent(c)]
        if recent:
            failures[row.id] = recent[0].reason
    return places, failures


def _is_recent(copy: CheckpointCopy) -> bool:
    return copy.ended_at is not None and timezone.now() - copy.ended_at < RETRY_AFTER


def _read_nodes(
    rows: list[Checkpoint], copies: dict[int, list[CheckpointCopy]], roots: set[str]
) -> dict[str, dict[str, Any]]:
    ids = {row.attempt.node_id for row in rows} | {c.node_id for group in copies.values() for c in group}
    sharing = Q(**{f"facts__{folders.ROOT_NOW}__in": sorted(roots)}) if roots else Q(pk__in=[])
    alive = ExpressionWrapper(Q(heartbeat_at__gt=alive_since()), output_field=BooleanField())
    found = Node.objects.filter(Q(id__in=ids) | sharing).annotate(
        is_alive=alive, root=F(f"facts__{folders.ROOT_NOW}")
    )
    columns = ("id", "name", "is_alive", "admin_state", "health", "storage_problem", "root")
    return {row["id"]: row for row in found.order_by("name").values(*columns)}


def _holder(node: dict[str, Any], away: str = "") -> Holder:
    """Return the node as a holder. A cordoned or drained node can be read: its agent answers."""
    if node["admin_state"] == AdminState.RETIRED:
        away = RETIRED
    elif not node["is_alive"] or node["health"] == Health.STOPPED:
        away = f"is {Health.STOPPED if node['health'] == Health.STOPPED else Health.UNREACHABLE}"
    elif node["storage_problem"]:
        away = "does not see its files"
    return Holder(node["id"], node["name"], away)

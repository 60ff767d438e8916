"""What has changed in the database since the last look: runs with new points, jobs, pools.

Costs one tiny query while nothing happens, and about five while something does; no writer has to announce anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from django.db import connection
from django.db.models import Count, Max, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from jobs.models import Batch, Device, Event, Job, Lease, Node, Pool, Run, RunEvent, Stream
from jobs.states.jobs import FINAL

# Changes when any other connection commits: read 4 times a second, it tells whether to look at all.
VERSION = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT pg_current_snapshot()::text"}
LOOK_BACK = timedelta(seconds=15)  # at the first look, for what happened while a page was on its way
EVENTS_LIMIT = 1000


class Change(NamedTuple):
    """`team_id` says who may hear of it; None: everybody who is logged in."""

    event: Literal["run", "job", "pools"]
    id: str
    team_id: int | None
    data: dict[str, Any]


class Watch:
    """Compares each look with the one before. Belongs to one thread, whose database connection it uses."""

    def __init__(self) -> None:
        self.version: object = None
        self.last_event: int | None = None
        self.last_run_event: int | None = None
        self.jobs: dict[str, tuple[Any, ...]] = {}
        self.newest_batch: dict[int, int] = {}  # by stream, of those that grow
        self.newest_stream: int | None = None
        self.pools: tuple[Any, ...] | None = None
        self.counter = itertools.count(1)

    def look(self) -> list[Change]:
        """Nothing, at the price of one query, if nobody has committed since."""
        with connection.cursor() as cursor:
            cursor.execute(VERSION[connection.vendor])
            version = cursor.fetchone()
        if version == self.version:
            return []
        self.version = version
        return self.changes()

    def changes(self) -> list[Change]:
        return [*self._jobs(), *self._logged(), *self._runs(), *self._pools()]

    def _jobs(self) -> Iterator[Change]:
        """Jobs that have moved, or of which an event tells. Not their steps: those come with the run's points."""
        is_first = self.last_event is None
        told = self._told()
        concerned = ~Q(state__in=FINAL) | Q(id__in=told) | Q(id__in=list(self.jobs))
        rows = Job.objects.filter(concerned).values_list(
            "id", "team_id", "run__id", "state", "attempt_number", "wanted_state", "waiting_reason", "step"
        )
        known, self.jobs = self.jobs, {}
        for job_id, team_id, run_id, *standing, step in rows.order_by():
            state, attempt, _, waiting_reason = standing
            if state not in FINAL:
                self.jobs[job_id] = tuple(standing)
            if job_id in told or (not is_first and known.get(job_id) != tuple(standing)):
                data = {"id": job_id, "run": run_id, "state": state, "step": step, "attempt": attempt}
                yield Change("job", job_id, team_id, {**data, "waiting_reason": waiting_reason})

    def _logged(self) -> Iterator[Change]:
        """Runs without a job of which an event tells: to who listens, such a run is a job of its own."""
        rows = RunEvent.objects.filter(run__job__isnull=True)
        if self.last_run_event is None:
            old = rows.filter(at__lt=timezone.now() - LOOK_BACK)
            self.last_run_event = old.aggregate(newest=Max("id"))["newest"] or 0
        fresh = rows.filter(id__gt=self.last_run_event).order_by("id")[:EVENTS_LIMIT]
        told: dict[str, tuple[int, str]] = {}
        for number, run_id, team_id, state in fresh.values_list("id", "run_id", "run__team_id", "run__state"):
            told[run_id] = (team_id, state)
            self.last_run_event = number
        for run_id, (team_id, state) in told.items():
            data = {
                "id": run_id,
                "run": run_id,
                "state": state,
                "step": None,
                "attempt": 0,
                "waiting_reason": "",
            }
            yield Change("job", run_id, team_id, data)

    def _told(self) -> set[str]:
        """Jobs with new events."""
        if self.last_event is None:
            old = Event.objects.filter(at__lt=timezone.now() - LOOK_BACK)
            self.last_event = old.aggregate(newest=Max("id"))["newest"] or 0
        rows = list(
            Event.objects.filter(id__gt=self.last_event)
            .order_by("id")
            .values_list("id", "job_id")[:EVENTS_LIMIT]
        )
        if rows:
            self.last_event = rows[-1][0]
        return {job_id for _, job_id in rows}

    def _runs(self) -> Iterator[Change]:
        grown = self._grown()
        rows = Run.objects.filter(id__in=grown).values_list(
            "id", "team_id", "job__step", Coalesce("job__state", "state")
        )
        for run_id, team_id, step, state in rows.order_by():
            data = {
                "id": run_id,
                "seq": next(self.counter),
                "step": step,
                "state": state,
            }
            yield Change("run", run_id, team_id, data)

    def _grown(self) -> set[str]:
        """Runs with new batches: in the journal, or taken out of it by a fold since the last look."""
        if self.newest_stream is None:
            self.newest_stream = Stream.objects.aggregate(newest=Max("id"))["newest"] or 0
        journal = dict(Batch.objects.values_list("stream_id").annotate(Max("seq")).order_by())
        concerned = {*journal, *self.newest_batch}
        streams = Stream.objects.filter(Q(id__in=concerned) | Q(id__gt=self.newest_stream))
        known, self.newest_batch = self.newest_batch, {}
        grown = set()
        for stream_id, run_id, last_seq in streams.values_list("id", "run_id", "last_seq"):
            newest = max(last_seq, journal.get(stream_id, -1))
            is_new = known.get(stream_id) != newest
            if is_new:
                grown.add(run_id)
            if is_new or stream_id in journal:
                self.newest_batch[stream_id] = newest
            self.newest_stream = max(self.newest_stream, stream_id)
        return grown

    def _pools(self) -> Iterable[Change]:
        devices = Device.objects.aggregate(
            Max("latest_at"), Count("id"), there=Count("id", filter=Q(is_present=True))
        )
        nodes = Node.objects.aggregate(
            Max("heartbeat_at"), Count("id"), cordoned=Count("id", filter=Q(is_cordoned=True))
        )
        pools = Pool.objects.aggregate(Count("id"), open=Count("id", filter=Q(is_open=True)))
        leases = Lease.objects.filter(is_active=True).aggregate(Count("id"), Max("id"))
        seen = tuple(value for part in (devices, nodes, pools, leases) for value in part.values())
        known, self.pools = self.pools, seen
        return [Change("pools", "", None, {})] if known is not None and known != seen else []

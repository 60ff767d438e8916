"""Changes in the database since the last poll: runs with new points, jobs, pools.

A poll costs one small query while nothing changes, and about five queries otherwise. Writers announce nothing.
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

# Changes when any other connection commits. Read 4 times a second, it decides whether to query the tables.
VERSION = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT pg_current_snapshot()::text"}
LOOK_BACK = timedelta(seconds=15)  # covered by the first poll: events during the loading of a page
EVENTS_LIMIT = 1000


class LiveChange(NamedTuple):
    """A change that listeners of team `team_id` receive; None: every logged-in user."""

    event: Literal["run", "job", "pools"]
    id: str
    team_id: int | None
    data: dict[str, Any]


class DatabaseWatcher:
    """Compares each poll with the previous one. Belongs to one thread and uses its database connection."""

    def __init__(self) -> None:
        self.version: object = None
        self.last_event: int | None = None
        self.last_run_event: int | None = None
        self.jobs: dict[str, tuple[Any, ...]] = {}
        self.newest_batch: dict[int, int] = {}  # growing stream -> its newest batch
        self.newest_stream: int | None = None
        self.pools: tuple[Any, ...] | None = None
        self.counter = itertools.count(1)

    def poll(self) -> list[LiveChange]:
        """Return the changes since the last poll. One query if there was no commit."""
        with connection.cursor() as cursor:
            cursor.execute(VERSION[connection.vendor])
            version = cursor.fetchone()
        if version == self.version:
            return []
        self.version = version
        return self.changes()

    def changes(self) -> list[LiveChange]:
        """Return the changes since the last call, whether or not there was a commit."""
        return [
            *self._job_changes(),
            *self._logged_run_changes(),
            *self._run_changes(),
            *self._pool_changes(),
        ]

    def _job_changes(self) -> Iterator[LiveChange]:
        """Yield jobs with a new state or a new event. Their steps are left out: they come with the run's points."""
        is_first = self.last_event is None
        with_events = self._jobs_with_events()
        affected = ~Q(state__in=FINAL) | Q(id__in=with_events) | Q(id__in=list(self.jobs))
        rows = Job.objects.filter(affected).values_list(
            "id", "team_id", "run__id", "state", "attempt_number", "wanted_state", "waiting_reason", "step"
        )
        known, self.jobs = self.jobs, {}
        for job_id, team_id, run_id, *status, step in rows.order_by():
            state, attempt, _, waiting_reason = status
            if state not in FINAL:
                self.jobs[job_id] = tuple(status)
            if job_id in with_events or (not is_first and known.get(job_id) != tuple(status)):
                data = {"id": job_id, "run": run_id, "state": state, "step": step, "attempt": attempt}
                yield LiveChange("job", job_id, team_id, {**data, "waiting_reason": waiting_reason})

    def _logged_run_changes(self) -> Iterator[LiveChange]:
        """Yield runs without a job that have a new event. Listeners get them as changes of a job."""
        rows = RunEvent.objects.filter(run__job__isnull=True)
        if self.last_run_event is None:
            old = rows.filter(at__lt=timezone.now() - LOOK_BACK)
            self.last_run_event = old.aggregate(newest=Max("id"))["newest"] or 0
        fresh = rows.filter(id__gt=self.last_run_event).order_by("id")[:EVENTS_LIMIT]
        changed: dict[str, tuple[int, str]] = {}
        for number, run_id, team_id, state in fresh.values_list("id", "run_id", "run__team_id", "run__state"):
            changed[run_id] = (team_id, state)
            self.last_run_event = number
        for run_id, (team_id, state) in changed.items():
            data = {
                "id": run_id,
                "run": run_id,
                "state": state,
                "step": None,
                "attempt": 0,
                "waiting_reason": "",
            }
            yield LiveChange("job", run_id, team_id, data)

    def _jobs_with_events(self) -> set[str]:
        """Return the ids of jobs with new events."""
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

    def _run_changes(self) -> Iterator[LiveChange]:
        rows = Run.objects.filter(id__in=self._grown_runs()).values_list(
            "id", "team_id", "job__step", Coalesce("job__state", "state")
        )
        for run_id, team_id, step, state in rows.order_by():
            data = {
                "id": run_id,
                "seq": next(self.counter),
                "step": step,
                "state": state,
            }
            yield LiveChange("run", run_id, team_id, data)

    def _grown_runs(self) -> set[str]:
        """Return the ids of runs with new batches, in the journal or folded out of it since the last poll."""
        if self.newest_stream is None:
            self.newest_stream = Stream.objects.aggregate(newest=Max("id"))["newest"] or 0
        journal = dict(Batch.objects.values_list("stream_id").annotate(Max("seq")).order_by())
        affected = {*journal, *self.newest_batch}
        streams = Stream.objects.filter(Q(id__in=affected) | Q(id__gt=self.newest_stream))
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

    def _pool_changes(self) -> Iterable[LiveChange]:
        devices = Device.objects.aggregate(
            Max("latest_at"), Count("id"), present=Count("id", filter=Q(is_present=True))
        )
        nodes = Node.objects.aggregate(
            Max("heartbeat_at"), Count("id"), cordoned=Count("id", filter=Q(is_cordoned=True))
        )
        pools = Pool.objects.aggregate(Count("id"), open=Count("id", filter=Q(is_open=True)))
        leases = Lease.objects.filter(is_active=True).aggregate(Count("id"), Max("id"))
        found = tuple(value for totals in (devices, nodes, pools, leases) for value in totals.values())
        known, self.pools = self.pools, found
        return [LiveChange("pools", "", None, {})] if known is not None and known != found else []

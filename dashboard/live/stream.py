"""The live stream: one server-sent stream a browser, fed by one hub a process that watches the database.

Events say that there is more and carry the newest numbers; charts fetch for themselves, so a lost event costs nothing.
One stream costs a message 0.1 ms (measured 2026-11-22 with 100 clients), where a poll costs 6 to 12.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterable

import msgspec
from asgiref.sync import SyncToAsync, sync_to_async
from django.db import DatabaseError, InterfaceError, connection, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_GET

from dashboard.access import get_scope
from dashboard.callers import scope_from_session
from dashboard.live.watcher import LOOK_BACK, Change, Watch

LOOK_S = 0.25
LOOK_LIMIT_S = 0.7  # a point is on an open page within a second
LOOK_SHARE = (
    0.2  # of the time may go into looking: 12 ms a look with 1,000 writers and 32,000 waiting batches
)
RECHECK_S = 30.0  # between two looks at whether a listener may still listen
PING_S = 15.0  # keeps proxies from closing a silent stream
PENDING_LIMIT = 1000  # different things that one slow listener may have waiting
POOLS_S = 1.0  # devices are read all the time: once a second is often enough

log = logging.getLogger(__name__)
encode = msgspec.json.Encoder().encode


class Listener:
    """One open stream. Of what it has not read yet only the newest event of each thing is kept."""

    def __init__(self, session_key: str, teams: Iterable[int], wishes: Wishes) -> None:
        self.session_key = session_key
        self.teams = frozenset(teams)
        self.wishes = wishes
        self.loop = asyncio.get_running_loop()  # the one that serves the stream
        self.pending: dict[tuple[str, str], bytes] = {}
        self.woken = asyncio.Event()
        self.is_closed = False

    def offer(self, changes: Iterable[Change]) -> None:
        """Called in the event loop, as everything here."""
        for change in changes:
            if self._may_hear(change) and self.wishes.include(change):
                self.pending.pop((change.event, change.id), None)
                self.pending[change.event, change.id] = _message(change)
        while len(self.pending) > PENDING_LIMIT:
            del self.pending[next(iter(self.pending))]
        if self.pending:
            self.woken.set()

    def close(self) -> None:
        self.is_closed = True
        self.woken.set()

    async def next(self) -> bytes:
        """What waits, b'' when nothing came for PING_S."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.woken.wait(), PING_S)
        self.woken.clear()
        waiting, self.pending = b"".join(self.pending.values()), {}
        return waiting

    def _may_hear(self, change: Change) -> bool:
        return change.team_id is None or change.team_id in self.teams


class Wishes(msgspec.Struct, frozen=True):
    """What a stream was opened for; runs=None: every one that the listener may see."""

    runs: frozenset[str] | None
    has_jobs: bool
    has_pools: bool

    def include(self, change: Change) -> bool:
        if change.event == "pools":
            return self.has_pools
        if change.event == "run":
            return self.runs is None or change.id in self.runs
        return self.has_jobs or (self.runs is not None and change.data["run"] in self.runs)


class Hub:
    """All listeners of this process and the one thread that looks at the database while there are any."""

    def __init__(self) -> None:
        self.listeners: set[Listener] = set()
        self.recent: dict[tuple[str, str], tuple[float, Change]] = {}
        self.lock = threading.Lock()
        self.is_watching = False

    def join(self, listener: Listener) -> None:
        with self.lock:
            self.listeners.add(listener)
            horizon = time.monotonic() - LOOK_BACK.total_seconds()
            recent = [change for at, change in self.recent.values() if at > horizon]
            if not self.is_watching:
                self.is_watching = True
                threading.Thread(target=self._watch, name="live-hub", daemon=True).start()
        listener.offer(recent)

    def leave(self, listener: Listener) -> None:
        with self.lock:
            self.listeners.discard(listener)

    def _watch(self) -> None:
        watch, checked, told_pools = Watch(), time.monotonic(), 0.0
        has_pools = False
        try:
            while self._has_listeners():
                began = time.monotonic()
                try:
                    changes = watch.look()
                    if time.monotonic() - checked > RECHECK_S:
                        checked = time.monotonic()
                        self._recheck()
                except (DatabaseError, InterfaceError):
                    log.exception("The live hub could not read the database; it tries again.")
                    connection.close()
                    time.sleep(1.0)
                    continue
                has_pools = has_pools or any(change.event == "pools" for change in changes)
                changes = [change for change in changes if change.event != "pools"]
                if has_pools and time.monotonic() - told_pools >= POOLS_S:
                    changes.append(Change("pools", "", None, {}))
                    has_pools, told_pools = False, time.monotonic()
                self._tell(changes)
                time.sleep(pause_s(time.monotonic() - began))
        finally:
            connection.close()

    def _has_listeners(self) -> bool:
        """Decided under the lock that join() holds: a listener never finds a thread that is about to end."""
        with self.lock:
            self.is_watching = bool(self.listeners)
            if not self.is_watching:
                self.recent.clear()
            return self.is_watching

    def _tell(self, changes: list[Change]) -> None:
        if not changes:
            return
        now = time.monotonic()
        with self.lock:
            self.recent = {
                key: (at, change)
                for key, (at, change) in self.recent.items()
                if now - at < LOOK_BACK.total_seconds()
            }
            self.recent |= {(change.event, change.id): (now, change) for change in changes}
            listeners = list(self.listeners)
        for listener in listeners:
            _in_loop_of(listener, listener.offer, changes)

    def _recheck(self) -> None:
        """Who has logged out or been switched off hears no more; teams may have changed."""
        for listener in list(self.listeners):
            teams = _teams_of_session(listener.session_key)
            if teams is None:
                _in_loop_of(listener, listener.close)
            else:
                listener.teams = teams


def pause_s(took_s: float) -> float:
    """Until the next look, after one that took so long."""
    return min(max(LOOK_S, took_s / LOOK_SHARE), LOOK_LIMIT_S)


HUB = Hub()


@require_GET
async def live(request: HttpRequest) -> HttpResponse:
    """Events run, job and pools as they happen. `run`, `jobs` and `pools` in the query narrow them down; runs of
    other teams are silently not among them."""
    teams = await sync_to_async(_teams_of_request)(request)
    stream = _stream(request.session.session_key, teams, _wishes(request))
    response = StreamingHttpResponse(stream, content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


async def _stream(session_key: str, teams: frozenset[int], wishes: Wishes) -> AsyncIterator[bytes]:
    _release_thread()
    listener = Listener(session_key, teams, wishes)
    HUB.join(listener)
    try:
        yield b"retry: 2000\n\n"
        while not listener.is_closed:
            yield await listener.next() or b": ping\n\n"
    finally:
        HUB.leave(listener)


def _release_thread() -> None:
    """Let go of the thread in which this request's synchronous middleware ran: asgiref keeps it until the request
    ends, which for a stream is hours. Closing the response gets a new one."""
    context = SyncToAsync.thread_sensitive_context.get(None)
    executor = SyncToAsync.context_to_thread_executor.pop(context, None) if context else None
    if executor:
        executor.shutdown(wait=False)


def _wishes(request: HttpRequest) -> Wishes:
    asked = request.GET
    if not asked.keys() & {"run", "jobs", "pools"}:
        return Wishes(None, True, True)
    return Wishes(frozenset(asked.getlist("run")), asked.get("jobs") == "1", asked.get("pools") == "1")


def _teams_of_request(request: HttpRequest) -> frozenset[int]:
    """Lets go of the database connection, which would else stay open as long as the stream."""
    try:
        return frozenset(get_scope(request).teams().values_list("id", flat=True))
    finally:
        for one in connections.all(initialized_only=True):
            if not one.in_atomic_block:
                one.close()


def _teams_of_session(session_key: str) -> frozenset[int] | None:
    """None once nobody is logged in by this session any more."""
    scope = scope_from_session(session_key)
    return None if scope is None else frozenset(scope.teams().values_list("id", flat=True))


def _in_loop_of(listener: Listener, call, *arguments) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended, and the stream with it
        listener.loop.call_soon_threadsafe(call, *arguments)


def _message(change: Change) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (change.event.encode(), encode(change.data))

"""Fast path for series, with replies shared between pages.

Django's middleware costs a chart 6 to 11 ms before anything is read (session, user, a new thread and connection), so
that a hundred pages that follow one run cost the server more than a core (measured 2026-11-22: 1.29). Here two threads
cache for a few seconds who may see which runs, and send all pages the same reply until one of its runs has grown.
Requests that are refused (unknown caller or run, invalid query, too many points) go to Django, which gives the reason.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, InterfaceError, connection
from django.http import QueryDict
from pydantic import ValidationError

from dashboard.access import Scope
from dashboard.api import series as drawing
from dashboard.callers import scope_from_session, scope_from_token, session_key
from engine.request_limits import QUERY_CHARS
from jobs import series
from jobs.models import Run

PATH = re.compile(r"/api/v1/(?:runs/([0-9a-z]{1,12})/)?series")
ACCESS_CACHED_S = 5.0  # a user who has logged out still sees charts for this long
CACHED_S = 10.0  # the fold of old points may stay invisible for this long
CACHED, CACHED_BYTES = 500, 1024 * 1024
# The version of a reply: the batches of its runs, folded or not (a late one may fill a gap), and missing readings.
VERSION = """
SELECT s.id, s.last_seq, COUNT(b.seq), MAX(b.seq) FROM jobs_stream s LEFT JOIN jobs_batch b ON b.stream_id = s.id
WHERE s.run_id IN ({marks}) GROUP BY s.id, s.last_seq ORDER BY s.id"""
MISSING = "SELECT id, CAST(missing AS text) FROM jobs_run WHERE id IN ({marks}) ORDER BY id"


class SeriesRequest(NamedTuple):
    runs: tuple[str, ...]
    window: drawing.SeriesQuery


class CachedReply(NamedTuple):
    body: bytes
    content_type: str


_threads = ThreadPoolExecutor(2, "series")
_allowed: dict[tuple[str, tuple[str, ...]], float] = {}
_replies: dict[tuple[str | None, bytes], tuple[float, Any, CachedReply]] = {}


async def get_reply(run_id: str | None, query: bytes, headers: Mapping[bytes, bytes]) -> CachedReply | None:
    """The reply, or None if Django has to reply."""
    if (credential := _credential(headers)) is None:
        return None
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _get_reply, credential, run_id, query)


def _credential(headers: Mapping[bytes, bytes]) -> str | None:
    """'Bearer' and a token, or the key of a session."""
    if given := headers.get(b"authorization"):
        kind, _, token = given.decode("latin-1").partition(" ")
        return f"Bearer {token.strip()}" if kind.lower() == "bearer" else None
    return session_key(headers)


def _get_reply(credential: str, run_id: str | None, query: bytes) -> CachedReply | None:
    """Runs in a thread of series."""
    try:
        wanted = _parse_query(run_id, query)
        if wanted is None or not _may_see(credential, wanted.runs):
            return None
        return _shared(run_id, query, wanted)
    except series.TooMuch:
        return None
    except (DatabaseError, InterfaceError):
        connection.close()
        return None


@lru_cache(maxsize=1000)
def _parse_query(run_id: str | None, query: bytes) -> SeriesRequest | None:
    """None for a query that the API refuses."""
    if len(query) > QUERY_CHARS:
        return None
    try:
        fields = QueryDict(query)
        given: dict[str, Any] = {
            name: fields.getlist(name) if name in ("metric", "source", "run") else fields[name]
            for name in fields
        }
        if run_id is not None:
            return SeriesRequest((run_id,), drawing.SeriesQuery(**given))
        window = drawing.ComparisonQuery(**given)
    except (ValidationError, SuspiciousOperation):
        return None
    return SeriesRequest(tuple(dict.fromkeys(window.run)), window)


def _may_see(credential: str, runs: tuple[str, ...]) -> bool:
    now, key = time.monotonic(), (credential, runs)
    if _allowed.get(key, 0.0) > now:
        return True
    scope = _scope(credential)
    if scope is None or scope.opened(Run).filter(id__in=runs).count() != len(runs):
        return False
    if len(_allowed) >= 10 * CACHED:
        _allowed.clear()
    _allowed[key] = now + ACCESS_CACHED_S
    return True


def _scope(credential: str) -> Scope | None:
    kind, _, token = credential.rpartition(" ")
    return scope_from_token(token) if kind else scope_from_session(credential)


def _shared(run_id: str | None, query: bytes, wanted: SeriesRequest) -> CachedReply:
    """The reply from the cache, or a new one. The version is read before the points, so that a reply is never older
    than its version."""
    now, key, version = time.monotonic(), (run_id, query), _version(wanted.runs)
    cached = _replies.get(key)
    if cached is not None and cached[0] > now and cached[1] == version:
        return cached[2]
    response = drawing.series_reply(drawing.find_runs(wanted.runs), wanted.window)
    reply = CachedReply(response.content, response["Content-Type"])
    if len(reply.body) <= CACHED_BYTES:
        if len(_replies) >= CACHED:
            _replies.clear()
        _replies[key] = (now + CACHED_S, version, reply)
    return reply


def _version(runs: tuple[str, ...]) -> list[tuple[Any, ...]]:
    marks = ", ".join(["%s"] * len(runs))
    with connection.cursor() as cursor:
        cursor.execute(VERSION.format(marks=marks), runs)
        streams = cursor.fetchall()
        cursor.execute(MISSING.format(marks=marks), runs)
        return [*streams, *cursor.fetchall()]

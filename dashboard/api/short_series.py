"""The short way for series: what charts ask for again and again, answered without Django's middleware, and shared.

Through the middleware a chart costs 6 to 11 ms before anything is read (session, user, then a new thread and connection
too), so that a hundred pages which follow one run cost the server more than a core (measured 2026-11-22: 1.29). Here
two threads remember for a few seconds who may see which runs, and give all pages the same answer
until one of its runs has grown. What is not plain (nobody known, a run that is not there, a query that is wrong or
asks for too much) goes Django's way, which says why.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from typing import Any, NamedTuple

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, InterfaceError, connection
from django.http import QueryDict
from pydantic import ValidationError

from dashboard.access import Scope
from dashboard.api import series as drawing
from dashboard.callers import scope_from_session, scope_from_token
from engine.request_limits import QUERY_CHARS
from jobs import series
from jobs.models import Run

PATH = re.compile(r"/api/v1/(?:runs/([0-9a-z]{1,12})/)?series")
REMEMBERED_S = 5.0  # so long who has logged out still sees charts
KEPT_S = 10.0  # so long a roll-up of old points, which nobody waits for, may stay unseen
KEPT, KEPT_BYTES = 500, 1024 * 1024
# What an answer is made of: which batches of a run are here, folded or not (a late one may fill a hole), and which
# readings it cannot have.
VERSION = """
SELECT s.id, s.last_seq, COUNT(b.seq), MAX(b.seq) FROM jobs_stream s LEFT JOIN jobs_batch b ON b.stream_id = s.id
WHERE s.run_id IN ({marks}) GROUP BY s.id, s.last_seq ORDER BY s.id"""
MISSING = "SELECT id, CAST(missing AS text) FROM jobs_run WHERE id IN ({marks}) ORDER BY id"


class Asked(NamedTuple):
    runs: tuple[str, ...]
    window: drawing.Window


class Answer(NamedTuple):
    body: bytes
    content_type: str


_threads = ThreadPoolExecutor(2, "series")
_doors: dict[tuple[str, tuple[str, ...]], float] = {}
_kept: dict[tuple[str | None, bytes], tuple[float, Any, Answer]] = {}


async def answered(run_id: str | None, query: bytes, headers: Mapping[bytes, bytes]) -> Answer | None:
    """None: Django has to answer."""
    if (credential := _credential(headers)) is None:
        return None
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, _answer, credential, run_id, query)


def _credential(headers: Mapping[bytes, bytes]) -> str | None:
    """A token with its word before it, or the key of a session."""
    if given := headers.get(b"authorization"):
        kind, _, token = given.decode("latin-1").partition(" ")
        return f"Bearer {token.strip()}" if kind.lower() == "bearer" else None
    try:
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return None
    found = cookies.get(settings.SESSION_COOKIE_NAME)
    return found.value if found else None


def _answer(credential: str, run_id: str | None, query: bytes) -> Answer | None:
    """In a thread of series."""
    try:
        asked = _asked(run_id, query)
        if asked is None or not _may_see(credential, asked.runs):
            return None
        return _shared(run_id, query, asked)
    except series.TooMuch:
        return None
    except (DatabaseError, InterfaceError):
        connection.close()
        return None


@lru_cache(maxsize=1000)
def _asked(run_id: str | None, query: bytes) -> Asked | None:
    """None: it is not what the API takes."""
    if len(query) > QUERY_CHARS:
        return None
    try:
        fields = QueryDict(query)
        given = {
            name: fields.getlist(name) if name in ("metric", "source", "run") else fields[name]
            for name in fields
        }
        if run_id is not None:
            return Asked((run_id,), drawing.Window(**given))
        window = drawing.Comparison(**given)
    except (ValidationError, SuspiciousOperation):
        return None
    return Asked(tuple(dict.fromkeys(window.run)), window)


def _may_see(credential: str, runs: tuple[str, ...]) -> bool:
    now, key = time.monotonic(), (credential, runs)
    if _doors.get(key, 0.0) > now:
        return True
    scope = _scope(credential)
    if scope is None or scope.opened(Run).filter(id__in=runs).count() != len(runs):
        return False
    if len(_doors) >= 10 * KEPT:
        _doors.clear()
    _doors[key] = now + REMEMBERED_S
    return True


def _scope(credential: str) -> Scope | None:
    kind, _, token = credential.rpartition(" ")
    return scope_from_token(token) if kind else scope_from_session(credential)


def _shared(run_id: str | None, query: bytes, asked: Asked) -> Answer:
    """The version is read before the points: an answer is never older than it says."""
    now, key, version = time.monotonic(), (run_id, query), _version(asked.runs)
    kept = _kept.get(key)
    if kept is not None and kept[0] > now and kept[1] == version:
        return kept[2]
    response = drawing.drawn(drawing.found(asked.runs), asked.window)
    answer = Answer(response.content, response["Content-Type"])
    if len(answer.body) <= KEPT_BYTES:
        if len(_kept) >= KEPT:
            _kept.clear()
        _kept[key] = (now + KEPT_S, version, answer)
    return answer


def _version(runs: tuple[str, ...]) -> list[tuple[Any, ...]]:
    marks = ", ".join(["%s"] * len(runs))
    with connection.cursor() as cursor:
        cursor.execute(VERSION.format(marks=marks), runs)
        streams = cursor.fetchall()
        cursor.execute(MISSING.format(marks=marks), runs)
        return [*streams, *cursor.fetchall()]

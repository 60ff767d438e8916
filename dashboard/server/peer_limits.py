"""Limits of one peer: bytes of its body, and time without progress."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from dashboard.server.threads import App, Message, Receive, Send, ServerBusy
from engine.request_limits import POINTS_BODY_BYTES, whole_number

BODY_BYTES = (
    4 * 1024**2
)  # before Django, which has its own limit and better sentences for what is only somewhat larger
SLACK_BYTES = 1024**2  # the same for uploads
BODY_S, BODY_BYTES_PER_S = 60.0, 4_096  # a body comes within a minute, and a longer one at least at this rate
SEND_S = 60.0  # for a peer to take the next piece of a response

POINTS = re.compile(r"/api/v1/runs/[^/]+/points")
ARTEFACTS = re.compile(r"/api/v1/runs/[^/]+/artefacts|/api/2\.0/mlflow-artifacts/.*")
DATASETS = re.compile(r"/api/v1/datasets|/data/upload/")

log = logging.getLogger(__name__)
Refuse = Callable[[Message, Send, int, str], Awaitable[None]]
_thread = ThreadPoolExecutor(1, "uploads")  # looks up who uploads, with one connection


class Refused(Exception):
    """A request that is answered before Django has it; `status` is the HTTP status."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class SlowPeer(Exception):
    """The peer takes nothing of the response."""


def body_limit(path: str) -> int:
    """The most bytes that are read for a path before anything looks at them."""
    if POINTS.fullmatch(path):
        return POINTS_BODY_BYTES + SLACK_BYTES
    if ARTEFACTS.fullmatch(path):
        return settings.ARTEFACT_LIMIT_BYTES + SLACK_BYTES
    if DATASETS.fullmatch(path):
        return settings.DATASET_LIMIT_BYTES + SLACK_BYTES
    return BODY_BYTES


def limit_peers(app: App, refuse: Refuse, is_known: Callable[[Mapping[bytes, bytes]], bool]) -> App:
    """Wrap `app`. `refuse` sends an error in the form of the path's part; `is_known` finds the caller of an upload, so
    that a stranger cannot fill the disk with a body that is refused only once it has come."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        body = _Body(scope, receive, is_known)
        has_started = False

        async def send_in_time(message: Mapping[str, Any]) -> None:
            nonlocal has_started
            has_started = True
            try:
                await asyncio.wait_for(send(message), SEND_S)
            except TimeoutError:
                raise SlowPeer from None

        try:
            await app(scope, body.receive, send_in_time)
        except (Refused, ServerBusy) as refused:
            if has_started:
                raise
            status, sentence = (refused.status, str(refused)) if isinstance(refused, Refused) else (503, "")
            await refuse(scope, send, status, sentence)
        except SlowPeer:
            return  # without the end of the response, so that the connection is closed
        except Exception:
            if has_started:
                raise
            log.exception("Server error: %s", scope["path"])
            await refuse(scope, send, 500, "")

    return application


class _Body:
    """The body of one request as it comes. Receiving raises Refused."""

    def __init__(
        self, scope: Message, receive: Receive, is_known: Callable[[Mapping[bytes, bytes]], bool]
    ) -> None:
        self.headers = dict(scope["headers"])
        self.limit = body_limit(scope["path"])
        self._receive, self._is_known = receive, is_known
        self.num_bytes, self.is_complete, self.is_checked = 0, False, self.limit <= BODY_BYTES
        self.began = time.monotonic()

    async def receive(self) -> Message:
        if self.is_complete:  # what comes now is the end of the connection, however late
            return await self._receive()
        self._refuse_too_large(whole_number(self.headers.get(b"content-length", b"").decode("latin-1")) or 0)
        left_s = self.began + BODY_S + self.num_bytes / BODY_BYTES_PER_S - time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), max(left_s, 0.01))
        except TimeoutError:
            raise Refused(408, "The body of the request did not come in time.") from None
        self.num_bytes += len(message.get("body", b""))
        self._refuse_too_large(self.num_bytes)
        if self.num_bytes > BODY_BYTES and not self.is_checked:
            self.is_checked = True
            loop = asyncio.get_running_loop()
            if not await loop.run_in_executor(_thread, _is_known_or_unsure, self._is_known, self.headers):
                raise Refused(401, "Log in, or send a token: Authorization: Bearer ...")
        self.is_complete = not message.get("more_body", False)
        return message

    def _refuse_too_large(self, num_bytes: int) -> None:
        if num_bytes > self.limit:
            raise Refused(
                413, f"The body has more than {self.limit:,} bytes, which is the most for this address."
            )


def _is_known_or_unsure(
    is_known: Callable[[Mapping[bytes, bytes]], bool], headers: Mapping[bytes, bytes]
) -> bool:
    """Runs in the thread of uploads."""
    try:
        return is_known(headers)
    except (DatabaseError, InterfaceError):
        connection.close()
        return True  # the view says that the database does not respond

"""What one peer can cost: bytes of a body, headers, connections, and time without progress."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
import time
from contextlib import closing, suppress

import pytest
import uvicorn

from dashboard import errors
from dashboard.server import http_protocol, peer_limits
from dashboard.server.http_protocol import BoundedProtocol
from dashboard.server.peer_limits import BODY_BYTES, body_limit, limit_peers
from tests.running import free_port, wait_until

SEED = 20261130


async def swallow(scope, receive, send):
    """An application that reads the whole body, and answers with its size."""
    size, is_open = 0, True
    while is_open:
        message = await receive()
        size, is_open = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


class Peer:
    """Sends pieces of a body, with pauses, and keeps what comes back."""

    def __init__(self, pieces, pause_s=0.0, path="/runs/", headers=()):
        self.pieces, self.pause_s, self.sent = list(pieces), pause_s, []
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": list(headers)}

    async def receive(self):
        await asyncio.sleep(self.pause_s)
        piece = self.pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(self.pieces)}

    async def send(self, message):
        self.sent.append(message)

    def talk(self, is_known=lambda headers: True):
        asyncio.run(limit_peers(swallow, errors.send_refusal, is_known)(self.scope, self.receive, self.send))
        return self.sent[0]["status"], self.sent[1]["body"]


def test_bodies_of_any_size_are_taken_up_to_the_limit_of_their_path():
    drawn = random.Random(SEED)
    for _ in range(40):
        size = drawn.choice((0, 1, BODY_BYTES, BODY_BYTES + 1, drawn.randrange(2 * BODY_BYTES)))
        pieces = [b"a" * size] if drawn.random() < 0.5 else [b"a" * (size // 3)] * 3 + [b"a" * (size % 3)]
        headers = [(b"content-length", str(size).encode())] if drawn.random() < 0.5 else []
        path = drawn.choice(("/runs/", "/api/v1/jobs", "/api/2.0/mlflow/runs/search"))
        status, body = Peer(pieces, path=path, headers=headers).talk()
        assert status == (413 if size > BODY_BYTES else 200), size
        if status == 413 and path != "/runs/":
            assert f"{BODY_BYTES:,}" in str(json.loads(body))
        elif status == 413:
            assert b"<h1>" in body


def test_uploads_have_limits_of_their_own(settings):
    assert body_limit("/api/v1/runs/abc/artefacts") > settings.ARTEFACT_LIMIT_BYTES
    assert body_limit("/api/v1/datasets") > settings.DATASET_LIMIT_BYTES
    assert body_limit("/api/v1/runs/abc/points") < 20 * 1024**2


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/datasets",
        "/data/upload/",
        "/api/v1/runs/x/artefacts",
        "/api/2.0/mlflow-artifacts/artifacts/x",
    ],
)
def test_a_stranger_s_upload_is_refused_before_it_fills_the_disk(path):
    pieces = [b"a" * BODY_BYTES] * 8
    peer = Peer(pieces, path=path)
    status, _ = peer.talk(lambda headers: False)
    assert status == 401 and len(peer.pieces) == 6
    assert Peer(pieces, path=path).talk()[0] == 200


def test_a_body_that_does_not_come_is_given_up(monkeypatch):
    monkeypatch.setattr(peer_limits, "BODY_S", 0.05)
    began = time.monotonic()
    status, body = Peer([b"a"] * 1000, pause_s=0.02, path="/api/v1/jobs").talk()
    assert status == 408 and "in time" in json.loads(body)["detail"]
    assert time.monotonic() - began < 5


def test_a_peer_that_takes_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(peer_limits, "SEND_S", 0.02)

    async def never(message):
        await asyncio.sleep(60)

    peer = Peer([b"a"])
    asyncio.run(
        limit_peers(swallow, errors.send_refusal, lambda headers: True)(peer.scope, peer.receive, never)
    )


# The protocol, with real connections


@pytest.fixture
def port(monkeypatch):
    monkeypatch.setattr(http_protocol, "HEADER_S", 0.3)
    monkeypatch.setattr(BoundedProtocol, "connections_limit", 30)
    found = free_port()
    config = uvicorn.Config(
        limit_peers(swallow, errors.send_refusal, lambda headers: True), port=found, http=BoundedProtocol, ws="none",
        lifespan="off", log_config=None, access_log=False, timeout_keep_alive=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, description="the server starts")
    yield found
    server.should_exit = True
    thread.join(10)


def exchange(port: int, data: bytes, timeout_s: float = 5.0) -> bytes:
    """What the server answers until it closes the connection."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=timeout_s)) as connection:
        with suppress(OSError):
            connection.sendall(data)
        answer = b""
        with suppress(ConnectionError):
            while piece := connection.recv(65536):
                answer += piece
        return answer


GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
CASES = {
    "nothing": (b"", 408),
    "half a request line": (b"GET / HT", 408),
    "half a header": (GET + b"x-a: ", 408),
    "no end of the headers": (GET + b"x-a: b\r\n", 408),
    "one long header": (GET + b"x-a: " + b"a" * 200_000 + b"\r\n\r\n", 431),
    "one endless header": (GET + b"x-a: " + b"a" * 2_000_000, 431),
    "many headers": (GET + b"".join(b"x-%d: a\r\n" % n for n in range(20_000)) + b"\r\n", 431),
    "a long address": (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n", 431),
    "no HTTP": (b"\x16\x03\x01" * 50, 400),
    "trailers without end": (
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x-a: bbbbbbbbbb\r\n" * 20_000, 431,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_peer_that_does_not_finish_its_headers_is_closed(name, port):
    data, status = CASES[name]
    began = time.monotonic()
    answer = exchange(port, data)
    assert time.monotonic() - began < 4
    assert answer == b"" or int(answer.split()[1]) in (status, 400), answer[:100]


def test_a_good_request_is_served_before_and_after(port):
    good = GET + b"connection: close\r\n\r\n"
    long_query = b"GET /?" + b"a" * 32_768 + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    for data in (good, long_query, GET + b"\r\n" + good):
        assert exchange(port, data).startswith(b"HTTP/1.1 200")


def test_connections_beyond_the_limit_are_refused_and_the_others_live(port):
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
    try:
        assert b" 503 " in exchange(port, b"")
    finally:
        for one in held:
            one.close()
    wait_until(
        lambda: exchange(port, GET + b"connection: close\r\n\r\n").startswith(b"HTTP/1.1 200"),
        description="room",
    )


def test_half_open_connections_end_by_themselves(port):
    held = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(25)]
    for one in held:
        one.sendall(b"GET / HT")
    for one in held:
        assert b" 408 " in one.recv(4096)
        one.close()

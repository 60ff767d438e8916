"""A real server under peers that send bad hosts, half of a header, or nothing: its log stays small, and it lives."""

from __future__ import annotations

import http.client
import resource
import socket
from contextlib import suppress

import pytest

from tests.running import wait_until
from tests.serving import Server

pytestmark = pytest.mark.slow

LOG_BYTES = 40_000


@pytest.fixture
def server(tmp_path):
    served = Server(tmp_path).start()
    yield served
    served.stop()


def get(server: Server, path: str, headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", path, headers=headers or {})
        return connection.getresponse().status
    finally:
        connection.close()


def log_bytes(server: Server) -> int:
    return (server.home / "web.log").stat().st_size


def test_bad_hosts_and_paths_fill_no_log(server):
    before = log_bytes(server)
    for number in range(300):
        assert get(server, f"/nowhere/{number}", {"Host": f"evil{number}.example"}) == 400
        assert get(server, f"/api/v1/nowhere/{number}") == 401
    assert log_bytes(server) - before < LOG_BYTES
    assert get(server, "/login/") == 200


def test_half_open_connections_at_a_low_file_limit_fill_no_log_and_end(server):
    before = log_bytes(server)
    assert server.process is not None
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (90, 90))
    held = []
    for _ in range(200):
        with suppress(OSError):
            one = socket.create_connection(("127.0.0.1", server.port), timeout=1)
            one.sendall(b"GET / HT")
            held.append(one)
    assert len(held) > 80
    wait_until(lambda: _answers(server), limit_s=60, description="half-open connections end")
    for one in held:
        one.close()
    assert log_bytes(server) - before < LOG_BYTES
    wait_until(lambda: _answers(server), limit_s=60, description="the server lives")


def _answers(server: Server) -> bool:
    with suppress(OSError, http.client.HTTPException):
        return get(server, "/login/") == 200
    return False

"""A real server behind a proxy that ends TLS: its headers count only where it is trusted."""

from __future__ import annotations

import http.client
import re
from contextlib import closing
from urllib.parse import urlencode

import pytest

from tests.serving import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    started = []

    def start(**environment):
        served = Server(tmp_path)
        served.environment |= environment
        started.append(served)
        return served.start()

    yield start
    for one in started:
        one.stop()


def sign_in_through_proxy(server: Server, forged: str = "203.0.113.7") -> tuple[int, str]:
    """Status and page of the login form, sent as a proxy sends it that speaks https to the browser."""
    host = f"127.0.0.1:{server.port}"
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": forged, "Host": host}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("GET", "/login/", headers=headers)
        form = connection.getresponse()
        cookie = form.headers["Set-Cookie"].partition(";")[0]
        token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form.read().decode())[0]
        body = urlencode({"username": "x", "password": "y", "csrfmiddlewaretoken": token})
        more = {
            "Origin": f"https://{host}",
            "Cookie": cookie,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        connection.request("POST", "/login/", body, headers | more)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()


def test_a_proxy_that_is_not_trusted_is_named_with_the_setting(start):
    status, page = sign_in_through_proxy(start())
    assert status == 403
    assert "FOURWALLS_TRUSTED_PROXIES=127.0.0.1" in page and "signed in or out" not in page


def test_a_trusted_proxy_gives_scheme_and_address(start):
    server = start(FOURWALLS_TRUSTED_PROXIES="127.0.0.1", FOURWALLS_LOGINS_PER_MIN="2")
    statuses = [sign_in_through_proxy(server)[0] for _ in range(3)]
    assert statuses == [200, 200, 429]  # wrong passwords of one address
    assert sign_in_through_proxy(server, "203.0.113.8")[0] == 200


def test_a_forged_address_does_not_count_without_a_trusted_proxy(start):
    server = start(FOURWALLS_LOGINS_PER_MIN="2")
    server.stop()
    server.environment["CSRF_TRUSTED_ORIGINS"] = f"https://127.0.0.1:{server.port}"
    server.start()
    assert [sign_in_through_proxy(server, f"203.0.113.{n}")[0] for n in range(3)] == [200, 200, 429]

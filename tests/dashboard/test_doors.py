"""Access to every route: login required, and no access for strangers."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

# Where one signs in, and what answers without an account
OPEN = {"login/", "login/nonsense/", "healthz", "readyz", "client", "client/"}


def addresses(resolver: URLResolver | None = None, prefix: str = "") -> list[str]:
    """Each route of ours with its places filled in. The admin pages guard themselves."""
    found: list[str] = []
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if path.startswith("admin/"):
            continue
        if isinstance(entry, URLResolver):
            found += addresses(entry, path)
        elif isinstance(entry, URLPattern):
            found.append(re.sub(r"<[^>]+>", "nonsense", path))
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("address", sorted(set(addresses()) - OPEN))
@pytest.mark.parametrize("method", ["get", "post"])
def test_every_route_requires_a_login(address, method):
    answer = getattr(Client(), method)(f"/{address}")
    if answer.status_code == 302:
        assert answer.url.startswith("/login/")
    else:
        assert answer.status_code in (401, 404, 405)


def test_the_list_of_routes_is_not_empty():
    assert {"jobs/", "runs/nonsense/", "submit/", "compare/", "pools/", "live"} <= set(addresses())


@pytest.mark.parametrize("address", ["/jobs/", "/runs/", "/submit/", "/compare/", "/pools/"])
def test_pages_forbid_scripts_of_other_hosts(owner_browser, node, address):
    answer = owner_browser.get(address)
    assert "default-src 'self'" in answer["Content-Security-Policy"]
    assert not re.search(r"<script(?![^>]*\b(src|type=\"application/json\"))", answer.text)
    assert not re.search(r"\son[a-z]+=", answer.text)


@pytest.mark.django_db
def test_an_unknown_address_gets_our_404_page(owner_browser):
    answer = owner_browser.get("/nowhere/")
    assert answer.status_code == 404
    assert "Page not found, or no access" in answer.text


def test_a_server_error_page_has_no_details(owner, monkeypatch):
    from dashboard.pages.jobs import views

    def broken(*arguments):
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(views, "_search", broken)
    browser = Client(raise_request_exception=False)
    browser.force_login(owner)
    answer = browser.get("/jobs/")
    assert answer.status_code == 500
    assert "Server error" in answer.text
    assert "a secret detail" not in answer.text

"""Every page against axe's WCAG A and AA rules, in both themes and widths."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import URLPattern, URLResolver, get_resolver
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import collect_console_errors, submit
from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(600)]

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
DEVICES = [(1440, "light"), (1440, "dark"), (390, "light")]
# Routes that are no pages of ours, or parts of pages
NO_PAGES = (
    "admin/",
    "api/",
    "ajax-api/",
    "live",
    "metrics",
    "healthz",
    "readyz",
    "login/",
    "logout/",
    "client",
)
FRAME = 'id="main"'  # parts of pages have none


def _plain_paths(patterns: list[URLPattern | URLResolver], start: str = "") -> list[str]:
    """Addresses of all routes without parameters."""
    found = []
    for pattern in patterns:
        path = start + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            found += _plain_paths(pattern.url_patterns, path)
        elif "<" not in path and not path.startswith(NO_PAGES):
            found.append(f"/{path}")
    return sorted(set(found))


PLAIN = _plain_paths(get_resolver().url_patterns)
ABOUT_ROWS = """
from jobs.models import Node, Pool, Project, Run, Team
run, node = Run.objects.first(), Node.objects.first()
print(f"/runs/{run.id}/ /compare/?run={run.id} /nodes/{node.id}/ /teams/{Team.objects.first().slug}/ "
      f"/pools/{Pool.objects.first().name}/settings/ /pools/{Pool.objects.first().name}/tokens/")
"""


@pytest.fixture(scope="module")
def addresses(person: BrowserContext, fourwalls: tuple[Fourwalls, str]) -> list[str]:
    """Addresses of every page: those without parameters, those of rows, and the tabs of a trained run."""
    page = collect_console_errors(person.new_page(), [])
    submit(page, "trained", "60")
    expect(page.locator("#run-head")).to_contain_text("succeeded", timeout=120_000)
    rows = fourwalls[0].manage("shell", "-v0", "-c", ABOUT_ROWS).stdout.split()
    page.goto(rows[0])
    tabs = [link.get_attribute("href") or "" for link in page.locator("[data-tabs] a").all()]
    page.close()
    return [
        address
        for address in sorted({*PLAIN, *rows, *tabs})
        if address[0] == "/" and _is_page(person, address)
    ]


def _is_page(person: BrowserContext, address: str) -> bool:
    reply = person.request.get(address)
    return reply.ok and "html" in reply.headers.get("content-type", "") and FRAME in reply.text()


@pytest.mark.parametrize(("width", "theme"), DEVICES)
def test_no_page_breaks_a_rule(page_like: Callable[..., Page], addresses: list[str], width: int, theme: str):
    page, axe, problems = page_like(viewport={"width": width, "height": 900}, color_scheme=theme), Axe(), []
    assert len(addresses) >= 25
    for address in addresses:
        page.goto(address)
        page.wait_for_timeout(250)  # parts that load themselves
        for broken in axe.run(page, options=RULES).response["violations"]:
            places = [" ".join(node["target"]) for node in broken["nodes"]][:3]
            problems.append(f"{address} {broken['id']} ({broken['impact']}): {places}")
    assert not problems, "\n".join(problems)

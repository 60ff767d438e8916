"""The accounting page in a real browser: charts drawn, chosen anew without a reload, and read by keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# Two ended attempts of this month, booked through the door that books them; the agent must not see them live.
SPEND = """
from datetime import timedelta
from django.db import transaction
from django.utils import timezone
from jobs.models import Attempt, Job, Membership, Node, Pool, Run
from jobs.lifecycle.transitions import move_attempt
from jobs.states.jobs import AttemptState
member = Membership.objects.select_related("team", "user").first()
node = Node.objects.first()
for name in ("one", "two"):
    job = Job.objects.create(team=member.team, owner=member.user, pool=node.pool, name=name, spec={}, num_devices=2,
                             num_steps=10, state="failed", attempt_number=1)
    Run.objects.create(job=job, team=job.team, owner=job.owner, name=name)
    with transaction.atomic():
        attempt = Attempt.objects.create(job=job, number=1, node=node, state=AttemptState.RUNNING)
        Attempt.objects.filter(id=attempt.id).update(assigned_at=timezone.now() - timedelta(minutes=30))
        move_attempt(attempt.id, AttemptState.FAILED, actor="test")
"""


@pytest.fixture(scope="module")
def spent(fourwalls: tuple[Fourwalls, str]) -> None:
    fourwalls[0].manage("shell", "-c", SPEND)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_charts_are_drawn_and_follow_a_choice(page_like: Callable[..., Page], spent: None, theme: str):
    page = page_like(color_scheme=theme)
    page.goto("/accounting/")
    expect(page.locator("[data-chart='held'] canvas")).to_be_visible()
    page.get_by_role("link", name="by attempt").click()
    expect(page.locator(".accounting-table tbody tr")).to_have_count(2)
    expect(page).to_have_url(re.compile("by=attempt"))
    page.get_by_label("Month").select_option("all")
    expect(page.get_by_role("heading", name="Device-hours a month")).to_be_visible()
    expect(page.locator("[data-chart='wasted'] canvas")).to_have_count(1)


def test_a_chart_is_read_by_keyboard(page: Page, spent: None):
    page.goto("/accounting/")
    chart = page.locator("[data-chart='held']")
    expect(chart.locator("canvas")).to_be_visible()
    chart.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[data-spoken]").first).to_have_text(
        re.compile(r"^\d{4}-\d\d-\d\d: default [\d.]+ h")
    )


def test_a_narrow_screen_is_not_wider_than_itself(page_like: Callable[..., Page], spent: None):
    page = page_like(viewport={"width": 360, "height": 740})
    page.goto("/accounting/?by=attempt")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

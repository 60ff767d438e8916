"""Two times of start and the roofline in a real browser: widths, themes, keyboard."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.running import Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

# A pool of its own without an agent: its node only has a heartbeat. Two ended runs, a running job, three that wait.
FILL = """
import json
from datetime import timedelta
from django.utils import timezone
from engine.spec.spec import parse, with_changes
from jobs.models import Attempt, Device, Job, Membership, Node, Pool, StartPromise
from jobs.queue import job_actions
from jobs.scheduler.likely_starts import LikelyStarts
from jobs.scheduler import loop, start_promises
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.finished_jobs import add_profile, finish_job
member = Membership.objects.select_related("team", "user").first()
pool = Pool.objects.create(name="drawn")
now = timezone.now()
node = Node.objects.create(id="node-d", name="d", pool=pool, heartbeat_at=now + timedelta(hours=2))
for index in range(2):
    Device.objects.create(id=f"d-{index}", node=node, index=index, kind="cpu", name="drawn share", cores=1.0,
                          memory_bytes=8 * 1024**3)
add_profile(Device.objects.get(id="d-0"))
def submit(name, *changes):
    spec = parse(with_changes({"name": name, "pool": "drawn"}, ["precision.dtype=fp32", *changes]))
    return job_actions.submit(spec=spec, team=member.team, owner=member.user)
ended = [finish_job(submit("ended one")), finish_job(submit("ended two", "model.width=64", "model.ffn_width=256"),
         {"data_wait_s": 0.001, "forward_s": 0.01, "backward_s": 0.02, "optimiser_s": 0.002})]
holder = submit("holder", "budget.steps=1000", "budget.time_limit_s=7200")
loop.schedule(pool)
began = now - timedelta(seconds=100)
Attempt.objects.filter(job=holder).update(state=AttemptState.RUNNING, started_at=began, assigned_at=began)
Job.objects.filter(id=holder.id).update(state=JobState.RUNNING, step=101, started_at=began, stepped_at=now)
waiting = [submit("next"), submit("behind"), submit("too long", "budget.steps=900000")]
loop.schedule(pool)
LikelyStarts().refresh(pool)
StartPromise.objects.create(job=ended[0], promised_at=now - timedelta(hours=2), likely_at=now - timedelta(minutes=70),
    latest_at=now - timedelta(minutes=30), started_at=now - timedelta(hours=1))
print("made:" + json.dumps([[job.run.id for job in ended], waiting[2].run.id, holder.run.id]))
"""


@pytest.fixture(scope="module")
def made(fourwalls: tuple[Fourwalls, str]) -> list[list[str]]:
    printed = fourwalls[0].manage("shell", "-v0", "-c", FILL).stdout
    return json.loads(printed.rpartition("made:")[2])


SHAPES = [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")]


def fits(page: Page) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 1, f"{page.url} is {wide} px too wide"


@pytest.mark.parametrize(("width", "theme"), SHAPES)
def test_pages_with_both_times_and_the_roofline(page_like: Callable[..., Page], made, width: int, theme: str):
    ended, too_long, _ = made
    page = page_like(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.goto("/queue/?pool=drawn")
    expect(page.locator("#queue")).to_contain_text("likely ends")
    expect(page.locator("#queue")).to_contain_text("over its limit")
    expect(page.locator("[data-label='likely'] time").first).to_be_visible()
    fits(page)
    page.goto(f"/runs/{too_long}/")
    expect(page.locator("#run-head")).to_contain_text("Raise the limit to")
    expect(page.locator("#run-head")).to_contain_text("Likely starts")
    fits(page)
    page.goto(f"/runs/{ended[0]}/performance/#roofline")
    page.locator("#roofline").evaluate("part => part.scrollIntoView()")
    expect(page.locator("#roofline .plot-dot:visible")).to_have_count(4)
    expect(page.locator("#roofline tbody tr")).to_have_count(4)
    fits(page)
    page.locator("#roofline a:visible").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#roofline tr:target")).to_contain_text("Whole step")
    page.goto("/compare/?" + "&".join(f"run={run}" for run in ended))
    for part in ("#why", "#figures", "#roofline"):  # each loads when it is seen, and moves those below
        page.locator(part).evaluate("part => part.scrollIntoView()")
        expect(page.locator(f"{part}[hx-get]")).to_have_count(0)
    expect(page.locator("#roofline .plot-dot:visible")).to_have_count(8)
    fits(page)
    page.goto("/accuracy/")
    expect(page.locator("#starts")).to_contain_text("1 hour to 1 day")
    page.locator("#starts").evaluate("part => part.scrollIntoView()")
    fits(page)

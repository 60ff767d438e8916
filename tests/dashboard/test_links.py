"""Every link of every page leads somewhere, for every role."""

from __future__ import annotations

import html
import re
from collections import deque
from urllib.parse import urljoin, urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from engine.spec.spec import Spec
from jobs import datasets
from jobs.models import Attempt, Checkpoint, Job, Sweep
from jobs.people import sharing
from jobs.queue import templates
from jobs.states.jobs import AttemptState, JobState
from jobs.tracking import artefacts, external_runs, projects

pytestmark = pytest.mark.django_db
LINK = re.compile(r'\b(?:href|hx-get|data-url|data-log-url|data-refresh-url)="([^"]+)"')
PAGES_LIMIT = 900
# Answered without a page: sign-out is a POST; data of the live stream and exports of every format are other tests'.
LEFT_OUT = ("/logout", "/static/", "/live", "/admin/")


@pytest.fixture
def content(team, owner, node, make_job, give_metrics, settings):
    """Something of every kind, in the states that pages show differently."""
    content = {"name": "letters", "file_name": "letters.txt", "licence": "", "chunks": [b"one\ntwo\n"]}
    datasets.store_upload(team=team, owner=owner, **content)
    project = projects.create(team, "alpha", actor="olga")
    for state in (JobState.QUEUED, JobState.SUCCEEDED, JobState.FAILED, JobState.PAUSED):
        job = make_job(name=f"a {state} job")
        Job.objects.filter(id=job.id).update(state=state, started_at=timezone.now(), attempt_number=1)
        attempt = Attempt.objects.create(
            job=job, node=node, number=1, state=AttemptState.SUCCEEDED, ended_at=timezone.now()
        )
        Checkpoint.objects.create(
            run=job.run,
            attempt=attempt,
            step=10,
            path=f"attempts/{job.id}-1/step-10",
            saved_at=timezone.now(),
        )
        give_metrics(job.run, loss=2.0, tokens_per_s=1000.0)
    run = external_runs.create(team=team, owner=owner, name="logged", origin="test", project=project)
    artefacts.save(run, "plots/loss.txt", [b"1"], actor="olga")
    give_metrics(run, **{"train/loss": 1.0, "acc": 0.5})
    templates.save(team=team, name="base", description="", spec=Spec(name="base"), actor="olga")
    sharing.save_view(team=team, owner=owner, page="runs", name="mine", query="filter=a")
    text = f"# Report\n\n```fourwalls\nrun {run.id}\n```\n"
    sharing.create_report(team=team, owner=owner, title="weekly", text=text)
    Sweep.objects.create(
        team=team, owner=owner, name="grid", spec=Spec(name="grid").model_dump(), rungs=[200],
        definition={"vary": {"seed": [1]}}, points=[{"seed": 1}],
    )  # fmt: skip


def crawl(browser) -> tuple[dict[str, int], dict[str, str]]:
    """Follow every link from the overview on. Returns the status of each address, and where each was found."""
    waiting, found_on, statuses, shapes = deque(["/"]), {"/": ""}, {}, set()
    while waiting and len(statuses) < PAGES_LIMIT:
        address = waiting.popleft()
        answer = browser.get(address)
        statuses[address] = answer.status_code
        if answer.streaming or "text/html" not in answer.get("Content-Type", ""):
            continue
        for link in LINK.findall(answer.text):
            target = urljoin(address, html.unescape(link)).partition("#")[0]
            parts = urlsplit(target)
            # One address of each path and set of parameters: sort orders and pages differ in values only.
            shape = (parts.path, tuple(sorted({one.partition("=")[0] for one in parts.query.split("&")})))
            if parts.netloc or not target.startswith("/") or target.startswith(LEFT_OUT) or shape in shapes:
                continue
            shapes.add(shape)
            found_on[target] = address
            waiting.append(target)
    return statuses, found_on


@pytest.mark.parametrize("role", ["viewer", "in no team", "stranger", "member", "admin"])
def test_no_link_leads_to_a_page_that_is_refused(role, request, browser_of, content):
    people = {"viewer": "viewer", "stranger": "stranger", "member": "owner", "admin": "owner"}
    person = (
        User.objects.create_user("nina") if role == "in no team" else request.getfixturevalue(people[role])
    )
    if role == "admin":
        User.objects.filter(id=person.id).update(is_staff=True)
    statuses, found_on = crawl(browser_of(User.objects.get(id=person.id)))
    refused = {f"{found_on[address]} -> {address}": code for address, code in statuses.items() if code >= 400}
    assert refused == {}
    assert len(statuses) > (20 if role in ("in no team", "stranger") else 80)


@pytest.mark.parametrize("role", ["viewer", "in no team"])
def test_who_may_not_submit_reads_why_and_whom_to_ask(role, viewer, owner, browser_of):
    person = viewer if role == "viewer" else User.objects.create_user("nina")
    User.objects.create_user("ada", is_staff=True)
    browser = browser_of(person)
    for address, status in (("/", 200), ("/submit/", 403), ("/runs/nothere/", 404)):
        answer = browser.get(address)
        assert answer.status_code == status
        text = answer.text
        assert ("You are a viewer." if role == "viewer" else "You are in no team yet.") in text
        assert "Ask ada to" in text
        assert "New job" not in text
    assert "You are" not in browser_of(owner).get("/").text

"""Constant number of queries for more rows."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Event, Job, Lease


def queries(browser, address: str) -> int:
    browser.get(address)  # what is looked up once a session is not what is counted
    with CaptureQueriesContext(connection) as seen:
        assert browser.get(address).status_code == 200
    return len(seen)


@pytest.mark.parametrize(
    "address",
    [
        "/jobs/",
        "/queue/",
        "/queue/?mine=1",
        "/runs/",
        "/runs/?sort=-last(loss)",
        "/runs/?group=param:seed",
        "/runs/?differs=1",
        "/runs/?col=verdict&col=share&sort=-share&filter=not verdict:input",
        "/runs/columns/?page=1",
        "/pools/",
        "/compare/",
    ],
)
def test_lists_take_a_constant_number_of_queries(owner_browser, make_job, make_node, make_attempt, address):
    def add(name: str) -> None:
        node = make_node(name, devices=2)
        for device in node.devices.all():
            Lease.objects.create(attempt=make_attempt(make_job(), node), device=device, rank=0)

    add("b")
    few = queries(owner_browser, address)
    for name in "cde":
        add(name)
    assert queries(owner_browser, address) == few


def test_comparing_more_runs_takes_the_same_number_of_queries(owner_browser, make_job):
    runs = [make_job().run.id for _ in range(8)]
    for page in ("/compare/", "/compare/figures/", "/compare/why/"):
        few, many = (f"{page}?" + "&".join(f"run={run}" for run in some) for some in (runs[:2], runs))
        assert queries(owner_browser, few) == queries(owner_browser, many)


def test_more_attempts_and_events_take_the_same_number_of_queries(
    owner_browser, make_job, node, make_attempt
):
    job: Job = make_job()
    make_attempt(job, node, number=1)
    few = queries(owner_browser, f"/runs/{job.run.id}/")
    for number in range(2, 6):
        make_attempt(job, node, number=number)
        Event.objects.create(job=job, actor="rank0", kind="checkpoint", text=f"step-{number}")
    assert queries(owner_browser, f"/runs/{job.run.id}/") == few

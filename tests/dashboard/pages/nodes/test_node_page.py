"""A node's page: how it stands, what it holds and until when, and what only an admin may ask of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from engine.hardware.probe_results import MeasuredFigure, ProbeReport
from jobs.models import Attempt, AttemptNode, Device, Job, Lease, Node, NodeEvent
from jobs.nodes import admin
from jobs.planning import device_profiles
from jobs.scheduler import loop

NODE = "/nodes/node-a/"
HTMX = {"HX-Request": "true"}
VERBS = ["cordon", "drain", "maintenance", "uncordon", "readmit", "retire"]


@pytest.fixture
def admin_browser(browser_of, db):
    return browser_of(User.objects.create_user("ada", is_staff=True))


@pytest.fixture
def running(make_job) -> Job:
    job = make_job(name="occupant", devices=2)
    loop.schedule(job.pool)
    return job


def node_now() -> Node:
    return Node.objects.get(id="node-a")


def test_it_says_what_runs_there_for_whom_and_until_when(owner_browser, running):
    Attempt.objects.update(checkpoint_step=40, checkpoint_at=timezone.now())
    text = owner_browser.get(NODE).text
    for said in ("occupant", "olga", "#0, #1", "full: 2 of 2 devices held", "step 40", "at the latest"):
        assert said in text


def test_the_machine_tells_how_it_is_until_it_falls_silent(owner_browser, node):
    Node.objects.update(host={"cpu_pct": 41.25, "load_1min": 3.5, "cpu_pressure_share": None})
    text = owner_browser.get(NODE).text
    assert "CPU busy <b>41.2 %</b>" in text
    assert "CPU pressure" not in text
    Node.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    assert "CPU busy" not in owner_browser.get(NODE).text


def test_it_tells_what_sampling_costs_and_how_a_gpu_is_linked(owner_browser, node):
    Node.objects.update(host={"sampling_tick_ms": 2.5, "sampling_core_share": 0.0026})
    facts = {"PCIe": "generation 5 x16 of 5 x16", "NVLinks": 18}
    Device.objects.filter(node=node, index=0).update(latest={"metrics": {}, "facts": facts})
    text = owner_browser.get(NODE).text
    assert "Sampling, a tick <b>2.5 ms</b>" in text and "Sampling, of a core <b>0.3 %</b>" in text
    assert "PCIe generation 5 x16 of 5 x16 · NVLinks 18" in text


def test_a_stranger_sees_the_node_and_not_whose_job_it_is(stranger_browser, running):
    text = stranger_browser.get(NODE).text
    assert "Another team" in text
    for secret in ("occupant", "olga", running.id, running.run.id):
        assert secret not in text


def test_a_gang_names_its_other_nodes(owner_browser, running, make_node):
    other = make_node("b")
    attempt = Attempt.objects.get()
    for part in (node_now(), other):
        AttemptNode.objects.create(attempt=attempt, node=part, state="running")
    text = owner_browser.get(NODE).text
    assert f'href="/nodes/{other.id}/"' in text
    assert "in a gang" in text


def test_its_story_names_who_why_and_until_when(owner_browser, node):
    admin.cordon(node, "tom", "odd noises", timezone.now() + timedelta(hours=2))
    text = owner_browser.get(NODE).text
    assert "odd noises" in text
    assert "by tom, until" in text
    assert "It opens by itself" in text


def test_a_suspect_device_says_why(owner_browser, node):
    Device.objects.filter(id="a-1").update(
        health="suspect", health_reason="two attempts in a row failed on it"
    )
    text = owner_browser.get(NODE).text
    assert "two attempts in a row failed on it" in text


def test_a_simulated_node_says_so_wherever_it_appears(owner_browser, make_node):
    make_node("s", facts={"simulated": True})
    assert "simulated" in owner_browser.get("/nodes/node-s/").text
    assert "simulated" in owner_browser.get("/pools/").text


def test_a_node_that_there_is_not_is_not_found(owner_browser, node):
    assert owner_browser.get("/nodes/nothere/").status_code == 404


@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
@pytest.mark.parametrize("verb", VERBS)
def test_only_an_admin_finds_a_verb(request, browser_of, node, who, verb):
    browser = browser_of(request.getfixturevalue(who))
    assert f"/nodes/node-a/{verb}/" not in browser.get(NODE).text
    assert browser.get(f"{NODE}{verb}/").status_code == 404
    assert browser.post(f"{NODE}{verb}/", {"reason": "x"}).status_code == 404
    assert browser.post(f"{NODE}devices/a-0/", {"health": "failed", "reason": "x"}).status_code == 404
    assert (node_now().admin_state, node_now().health) == ("open", "ok")


def test_verbs_are_offered_where_the_state_allows_them(admin_browser, node):
    def offered() -> set[str]:
        text = admin_browser.get(NODE).text
        return {verb for verb in VERBS if f"/nodes/node-a/{verb}/" in text}

    assert offered() == {"cordon", "drain", "maintenance", "retire"}
    admin.drain(node, "ada", "BIOS", "finish")
    assert offered() == {"cordon", "uncordon"}
    Device.objects.filter(id="a-1").update(health="suspect")
    assert offered() == {"cordon", "uncordon", "readmit"}


def test_the_drain_dialog_shows_whom_it_touches_and_when_they_would_end(admin_browser, running):
    for headers in (HTMX, {}):
        text = admin_browser.get(f"{NODE}drain/", headers=headers).text
        for said in (
            "occupant",
            "The last one ends",
            "at the latest",
            "no checkpoint yet",
            "Checkpoint and requeue",
        ):
            assert said in text
        assert ("<html" in text) == (not headers)


def test_a_refused_drain_keeps_what_was_typed(admin_browser, node):
    values = {"reason": "new BIOS", "policy": "deadline", "hours": "soon"}
    assert admin_browser.post(f"{NODE}drain/", values).status_code == 422
    answer = admin_browser.post(f"{NODE}drain/", values, headers=HTMX)
    for said in (
        'value="new BIOS"',
        'value="soon"',
        "&#x27;soon&#x27; is not between 0.01 and 8,760 hours",
        "checked",
    ):
        assert said in answer.text
    assert node_now().admin_state == "open"


def test_draining_by_deadline_is_carried_out_and_told(admin_browser, running):
    values = {"reason": "new BIOS", "policy": "deadline", "hours": "2"}
    answer = admin_browser.post(f"{NODE}drain/", values, headers=HTMX)
    assert answer.status_code == 204
    assert "a is being drained." in answer.headers["HX-Trigger"]
    now = node_now()
    assert (now.admin_state, now.drain_policy, now.admin_reason) == ("draining", "deadline", "new BIOS")
    assert timedelta(hours=1.9) < now.admin_until - timezone.now() < timedelta(hours=2.1)
    event = NodeEvent.objects.get()
    assert (event.actor, event.kind, event.text) == ("ada", "node.draining", "new BIOS")


def test_maintenance_of_a_busy_node_is_refused_with_the_way_out(admin_browser, running):
    assert "Drain the node first" in admin_browser.get(f"{NODE}maintenance/").text
    answer = admin_browser.post(f"{NODE}maintenance/", {"reason": "fan"}, headers=HTMX)
    assert answer.status_code == 409
    assert "drain it first" in answer.headers["HX-Trigger"]


def test_without_a_script_one_lands_on_the_node_with_the_sentence(admin_browser, node):
    answer = admin_browser.post(f"{NODE}cordon/", {"reason": "odd noises"}, follow=True)
    assert "a takes no new work." in answer.text
    assert "odd noises" in answer.text


def test_a_device_is_marked_with_a_reason_and_not_without(admin_browser, node):
    mark = f"{NODE}devices/a-0/"
    assert admin_browser.post(mark, {"health": "failed"}, headers=HTMX).status_code == 409
    assert admin_browser.post(mark, {"health": "dead", "reason": "x"}, headers=HTMX).status_code == 409
    assert admin_browser.post(mark, {"health": "failed", "reason": "smells"}, headers=HTMX).status_code == 204
    assert Device.objects.get(id="a-0").health_reason == "smells"
    assert admin_browser.post(mark, {"health": "ok"}, headers=HTMX).status_code == 204
    assert admin_browser.post("/nodes/other/devices/a-0/", {"health": "ok"}, headers=HTMX).status_code == 404


def test_a_fuller_node_with_a_longer_story_asks_no_more(owner_browser, make_node, make_job, make_attempt):
    node = make_node("w", devices=8)

    def add(index: int) -> None:
        attempt = make_attempt(make_job(devices=1), node)
        Lease.objects.create(attempt=attempt, device=node.devices.get(index=index), rank=0)
        NodeEvent.objects.create(node=node, actor="tom", kind="node.cordoned")
        make_attempt(make_job(devices=1), node, state="failed", ended_at=timezone.now())

    def queries() -> int:
        owner_browser.get("/nodes/node-w/")
        with CaptureQueriesContext(connection) as seen:
            assert owner_browser.get("/nodes/node-w/").status_code == 200
        return len(seen)

    add(0)
    few = queries()
    for index in range(1, 6):
        add(index)
    assert queries() == few


def test_what_its_devices_can_do_stands_there_with_standing_and_date(owner_browser, admin_browser, node):
    assert "Not measured yet" in owner_browser.get(NODE).text
    figures = {
        "copy_bytes_per_s": MeasuredFigure(12 * 1024**3, 11e9, 13e9, 9),
        "launch_s": MeasuredFigure(2.5e-6, 2e-6, 3e-6, 9),
    }
    missing = {"gemm_fp16_flops_per_s": ("unsupported", "nothing trains in fp16 on a CPU")}
    found = ProbeReport(1, "2.13.0+cpu", "cpu", 1, 8.0, figures, missing, {})
    device_profiles.store_probe(Device.objects.get(id="a-0"), found)
    text = owner_browser.get(NODE).text
    for said in (
        "12 GiB/s",
        "2.5 µs",
        "measured, n = 9",
        "nothing trains in fp16",
        "torch 2.13.0+cpu",
        "#0, #1",
    ):
        assert said in text
    assert "Probe again" not in text
    assert "Probe again" in admin_browser.get(NODE).text


def test_only_an_admin_has_it_probed_again(owner_browser, admin_browser, node):
    assert owner_browser.post(f"{NODE}probe/").status_code == 404
    answer = admin_browser.post(f"{NODE}probe/", headers=HTMX)
    assert answer.status_code == 204
    assert "wanted by ada" in owner_browser.get(NODE).text
    admin.begin_maintenance(node_now(), "ada", "new fan")
    assert admin_browser.post(f"{NODE}probe/", headers=HTMX).status_code == 409

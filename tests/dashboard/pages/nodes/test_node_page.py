"""Page of a node: state, running jobs, events and the actions of admins."""

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
ACTIONS = ["cordon", "drain", "maintenance", "uncordon", "readmit", "retire"]


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


def test_running_jobs_are_listed_with_owner_and_end(owner_browser, running):
    Attempt.objects.update(checkpoint_step=40, checkpoint_at=timezone.now())
    text = owner_browser.get(NODE).text
    for shown in ("occupant", "olga", "#0, #1", "2 of 2 devices held", "step 40", "at the latest"):
        assert shown in " ".join(text.split())


def test_host_readings_are_hidden_once_the_heartbeat_is_late(owner_browser, node):
    Node.objects.update(host={"cpu_pct": 41.25, "load_1min": 3.5, "cpu_pressure_share": None})
    text = owner_browser.get(NODE).text
    assert "CPU busy <b>41.2 %</b>" in text
    assert "CPU pressure" not in text
    Node.objects.update(heartbeat_at=timezone.now() - timedelta(hours=1))
    assert "CPU busy" not in owner_browser.get(NODE).text


def test_sampling_cost_and_links_of_gpus_are_shown(owner_browser, node):
    Node.objects.update(host={"sampling_tick_ms": 2.5, "sampling_core_share": 0.0026})
    facts = {"PCIe": "generation 5 x16 of 5 x16", "NVLinks": 18}
    Device.objects.filter(node=node, index=0).update(latest={"metrics": {}, "facts": facts})
    text = owner_browser.get(NODE).text
    assert "Sampling per tick <b>2.5 ms</b>" in text and "Sampling share of a core <b>0.3 %</b>" in text
    assert "PCIe generation 5 x16 of 5 x16 · NVLinks 18" in text


def test_a_stranger_sees_the_node_without_details_of_its_job(stranger_browser, running):
    text = stranger_browser.get(NODE).text
    assert "Another team" in text
    for secret in ("occupant", "olga", running.id, running.run.id):
        assert secret not in text


def test_a_multi_node_job_links_its_other_nodes(owner_browser, running, make_node):
    other = make_node("b")
    attempt = Attempt.objects.get()
    for part in (node_now(), other):
        AttemptNode.objects.create(attempt=attempt, node=part, state="running")
    text = owner_browser.get(NODE).text
    assert f'href="/nodes/{other.id}/"' in text
    assert "multi-node" in text


def test_events_show_actor_reason_and_end(owner_browser, node):
    admin.cordon(node, "tom", "odd noises", timezone.now() + timedelta(hours=2))
    text = owner_browser.get(NODE).text
    assert "odd noises" in text
    assert "by tom, until" in text
    assert "It opens by itself" in text


def test_a_suspect_device_shows_the_reason(owner_browser, node):
    Device.objects.filter(id="a-1").update(
        health="suspect", health_reason="two attempts in a row failed on it"
    )
    text = owner_browser.get(NODE).text
    assert "two attempts in a row failed on it" in text


def test_a_simulated_node_is_marked_on_every_page(owner_browser, make_node):
    make_node("s", facts={"simulated": True})
    assert "simulated" in owner_browser.get("/nodes/node-s/").text
    assert "simulated" in owner_browser.get("/pools/").text


def test_an_unknown_node_is_not_found(owner_browser, node):
    assert owner_browser.get("/nodes/nothere/").status_code == 404


@pytest.mark.parametrize("who", ["owner", "viewer", "stranger"])
@pytest.mark.parametrize("action", ACTIONS)
def test_only_an_admin_sees_an_action(request, browser_of, node, who, action):
    browser = browser_of(request.getfixturevalue(who))
    assert f"/nodes/node-a/{action}/" not in browser.get(NODE).text
    assert browser.get(f"{NODE}{action}/").status_code == 404
    assert browser.post(f"{NODE}{action}/", {"reason": "x"}).status_code == 404
    assert browser.post(f"{NODE}devices/a-0/", {"health": "failed", "reason": "x"}).status_code == 404
    assert (node_now().admin_state, node_now().health) == ("open", "ok")


def test_actions_are_offered_where_the_state_allows_them(admin_browser, node):
    def offered() -> set[str]:
        text = admin_browser.get(NODE).text
        return {action for action in ACTIONS if f"/nodes/node-a/{action}/" in text}

    assert offered() == {"cordon", "drain", "maintenance", "retire"}
    admin.drain(node, "ada", "BIOS", "finish")
    assert offered() == {"cordon", "uncordon"}
    Device.objects.filter(id="a-1").update(health="suspect")
    assert offered() == {"cordon", "uncordon", "readmit"}


def test_the_drain_dialog_lists_the_affected_jobs_and_their_ends(admin_browser, running):
    for headers in (HTMX, {}):
        text = admin_browser.get(f"{NODE}drain/", headers=headers).text
        for shown in (
            "occupant",
            "The last one ends",
            "at the latest",
            "no checkpoint yet",
            "Checkpoint and requeue",
        ):
            assert shown in " ".join(text.split())
        assert ("<html" in text) == (not headers)


def test_a_refused_drain_keeps_the_typed_values(admin_browser, node):
    values = {"reason": "new BIOS", "policy": "deadline", "hours": "soon"}
    assert admin_browser.post(f"{NODE}drain/", values).status_code == 422
    answer = admin_browser.post(f"{NODE}drain/", values, headers=HTMX)
    for shown in (
        'value="new BIOS"',
        'value="soon"',
        "&#x27;soon&#x27; is not between 0.01 and 8,760 hours",
        "checked",
    ):
        assert shown in answer.text
    assert node_now().admin_state == "open"


def test_draining_by_deadline_starts_and_is_recorded(admin_browser, running):
    values = {"reason": "new BIOS", "policy": "deadline", "hours": "2"}
    answer = admin_browser.post(f"{NODE}drain/", values, headers=HTMX)
    assert answer.status_code == 204
    assert "a is being drained." in answer.headers["HX-Trigger"]
    now = node_now()
    assert (now.admin_state, now.drain_policy, now.admin_reason) == ("draining", "deadline", "new BIOS")
    assert timedelta(hours=1.9) < now.admin_until - timezone.now() < timedelta(hours=2.1)
    event = NodeEvent.objects.get()
    assert (event.actor, event.kind, event.text) == ("ada", "node.draining", "new BIOS")


def test_maintenance_of_a_busy_node_is_refused_with_a_hint(admin_browser, running):
    assert "Drain the node first" in admin_browser.get(f"{NODE}maintenance/").text
    answer = admin_browser.post(f"{NODE}maintenance/", {"reason": "fan"}, headers=HTMX)
    assert answer.status_code == 409
    assert "drain it first" in answer.headers["HX-Trigger"]


def test_without_javascript_an_action_redirects_to_the_node_with_a_message(admin_browser, node):
    answer = admin_browser.post(f"{NODE}cordon/", {"reason": "odd noises"}, follow=True)
    assert "a takes no new work." in answer.text
    assert "odd noises" in answer.text


def test_marking_a_device_needs_a_reason(admin_browser, node):
    mark = f"{NODE}devices/a-0/"
    assert admin_browser.post(mark, {"health": "failed"}, headers=HTMX).status_code == 409
    assert admin_browser.post(mark, {"health": "dead", "reason": "x"}, headers=HTMX).status_code == 409
    assert admin_browser.post(mark, {"health": "failed", "reason": "smells"}, headers=HTMX).status_code == 204
    assert Device.objects.get(id="a-0").health_reason == "smells"
    assert admin_browser.post(mark, {"health": "ok"}, headers=HTMX).status_code == 204
    assert admin_browser.post("/nodes/other/devices/a-0/", {"health": "ok"}, headers=HTMX).status_code == 404


def test_more_jobs_and_events_need_no_more_queries(owner_browser, make_node, make_job, make_attempt):
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


def test_measured_speeds_are_shown_with_sample_size_and_version(owner_browser, admin_browser, node):
    assert "Not measured yet" in owner_browser.get(NODE).text
    figures = {
        "copy_bytes_per_s": MeasuredFigure(12 * 1024**3, 11e9, 13e9, 9),
        "launch_s": MeasuredFigure(2.5e-6, 2e-6, 3e-6, 9),
    }
    missing = {"gemm_fp16_flops_per_s": ("unsupported", "nothing trains in fp16 on a CPU")}
    found = ProbeReport(1, "2.13.0+cpu", "cpu", 1, 8.0, figures, missing, {})
    device_profiles.store_probe(Device.objects.get(id="a-0"), found)
    text = owner_browser.get(NODE).text
    for shown in (
        "12 GiB/s",
        "2.5 µs",
        "measured, n = 9",
        "nothing trains in fp16",
        "torch 2.13.0+cpu",
        "#0, #1",
    ):
        assert shown in " ".join(text.split())
    assert "Probe again" not in text
    assert "Probe again" in admin_browser.get(NODE).text


def test_only_an_admin_requests_a_new_probe(owner_browser, admin_browser, node):
    assert owner_browser.post(f"{NODE}probe/").status_code == 404
    answer = admin_browser.post(f"{NODE}probe/", headers=HTMX)
    assert answer.status_code == 204
    assert "requested by ada" in owner_browser.get(NODE).text
    admin.begin_maintenance(node_now(), "ada", "new fan")
    assert admin_browser.post(f"{NODE}probe/", headers=HTMX).status_code == 409

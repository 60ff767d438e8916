"""/metrics, read by Prometheus's parser: values, labels and access."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from jobs import series
from jobs.models import Attempt, Device, Lease, SpoolOffset
from jobs.people import api_tokens
from jobs.scheduler.loop import Scheduler, schedule
from jobs.tracking import external_runs

READINGS = {
    "utilisation_pct": 87.0,
    "memory_used_bytes": 2048 * 2**20,
    "power_w": 512.5,
    "sm_clock_hz": 1.98e9,
}


def token_for(user, team):
    return Client(headers={"Authorization": f"Bearer {api_tokens.create_token(user, team, 'prometheus')}"})


def scraped(client):
    """Name -> [(labels, value)], as Prometheus reads them."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    return {family.name: [(s.labels, s.value) for s in family.samples] for family in families}


@pytest.fixture
def scraper(owner, team):
    return token_for(owner, team)


@pytest.fixture
def gpus(make_node):
    node = make_node("g", devices=2, kind="cuda")
    latest = {"metrics": READINGS, "missing": {"temperature_celsius": ["unsupported", "by this board"]}}
    node.devices.update(latest=latest, latest_at=timezone.now())
    return node


def hold(device, job):
    attempt = Attempt.objects.create(job=job, number=1, node=device.node)
    Lease.objects.create(attempt=attempt, device=device, rank=0)


def test_gpu_metrics_have_the_names_and_units_of_dcgm(scraper, gpus):
    found = scraped(scraper)
    (labels, value), _ = found["DCGM_FI_DEV_GPU_UTIL"]
    assert value == 87.0
    assert labels == {"gpu": "0", "UUID": "g-0", "device": "nvidia0", "modelName": "cuda share", "Hostname": "g",
                      "pool": "default", "job": "", "run": ""}  # fmt: skip
    assert found["DCGM_FI_DEV_FB_USED"][0][1] == 2048.0
    assert found["DCGM_FI_DEV_SM_CLOCK"][0][1] == 1980.0
    assert found["fourwalls_device_sm_clock_hz"][0][1] == 1.98e9


def test_slow_gpu_metrics_have_the_names_of_dcgm(scraper, gpus):
    figures = {"sm_occupancy_share": 0.25, "memory_temperature_celsius": 74.0, "pcie_replays": 5.0}
    faults = [{"code": "ecc"}, {"code": "xid 63"}]
    first, second = gpus.devices.order_by("index")
    Device.objects.filter(id=first.id).update(
        latest={"metrics": figures, "faults": faults, "faults_missing": {}}
    )
    Device.objects.filter(id=second.id).update(
        latest={"metrics": {}, "faults_missing": {"xid": ["unsupported", "MIG"]}}
    )
    found = scraped(scraper)
    assert found["DCGM_FI_PROF_SM_OCCUPANCY"][0][1] == 0.25
    assert found["DCGM_FI_DEV_MEMORY_TEMP"][0][1] == 74.0
    assert found["DCGM_FI_DEV_PCIE_REPLAY_COUNTER"][0][1] == 5.0
    assert [(labels["gpu"], value) for labels, value in found["DCGM_FI_DEV_XID_ERRORS"]] == [("0", 63.0)]


def test_an_absent_reading_has_no_sample(scraper, gpus):
    found = scraped(scraper)
    assert "DCGM_FI_DEV_GPU_TEMP" not in found
    assert "fourwalls_device_temperature_celsius" not in found


def test_an_old_reading_has_no_sample_except_its_age(scraper, gpus):
    gpus.devices.update(latest_at=timezone.now() - timedelta(hours=1))
    found = scraped(scraper)
    assert "DCGM_FI_DEV_GPU_UTIL" not in found
    assert found["fourwalls_device_reading_age_s"][0][1] >= 3600


def test_a_cpu_has_no_gpu_metrics(scraper, node):
    node.devices.update(latest={"metrics": READINGS}, latest_at=timezone.now())
    found = scraped(scraper)
    assert "DCGM_FI_DEV_GPU_UTIL" not in found
    assert len(found["fourwalls_device_utilisation_pct"]) == 2


def test_a_simulated_node_has_a_label(scraper, gpus):
    gpus.facts = {"simulated": True}
    gpus.save()
    assert all(labels["simulated"] == "true" for labels, _ in scraped(scraper)["DCGM_FI_DEV_GPU_UTIL"])


def test_only_its_team_sees_the_id_of_a_job(scraper, gpus, make_job, stranger, other_team):
    job = make_job()
    hold(Device.objects.get(id="g-0"), job)
    ((labels, held),) = [row for row in scraped(scraper)["fourwalls_device_held"] if row[0]["UUID"] == "g-0"]
    assert (labels["job"], labels["run"], held) == (job.id, job.run.id, 1.0)
    foreign = token_for(stranger, other_team)
    assert job.id not in foreign.get("/metrics").text
    assert [
        held for labels, held in scraped(foreign)["fourwalls_device_held"] if labels["UUID"] == "g-0"
    ] == [1.0]


def test_the_queue_is_counted_by_pool_state_and_reason(scraper, make_job, node):
    for _ in range(3):
        make_job(devices=2)
    schedule(node.pool)
    found = scraped(scraper)
    assert ({"pool": "default", "state": "queued"}, 2.0) in found["fourwalls_jobs"]
    assert ({"pool": "default", "state": "scheduled"}, 1.0) in found["fourwalls_jobs"]
    waiting = found["fourwalls_jobs_waiting"]
    assert sum(count for _, count in waiting) == 2.0
    assert {labels["pool"] for labels, _ in waiting} == {"default"}
    assert not {labels["reason"] for labels, _ in waiting} & {"", "unseen"}
    assert found["fourwalls_oldest_wait_s"][0][1] >= 0


def test_journal_batches_and_bad_lines_are_counted(scraper, make_job, node, owner, team):
    run = external_runs.create(team=team, owner=owner, name="x", origin="api")
    for seq in range(3):
        series.append(run.id, 1, "w", seq, [series.Point("loss", "run", seq, 1e9, 1.0)])
    hold(node.devices.first(), make_job())
    SpoolOffset.objects.create(attempt=Attempt.objects.get(), file="rank0.jsonl", num_bad_lines=4)
    found = scraped(scraper)
    assert found["fourwalls_journal_batches"] == [({}, 3.0)]
    assert found["fourwalls_bad_lines"] == [({}, 4.0)]
    assert found["fourwalls_logged_runs"] == [({}, 1.0)]


def test_live_agents_are_distinguished_from_silent_ones(scraper, make_node):
    make_node("b", heartbeat_at=timezone.now() - timedelta(hours=1))
    make_node("a")
    make_node("c", heartbeat_at=None, admin_state="retired")
    make_node("d", heartbeat_at=None, health="stopped")
    assert "fourwalls_scheduler_tick_age_s" not in scraped(scraper)
    Scheduler().tick()
    found = scraped(scraper)
    assert sorted((labels["state"], count) for labels, count in found["fourwalls_agents"]) == [
        ("alive", 1.0), ("silent", 1.0), ("stopped", 1.0),
    ]  # fmt: skip
    assert 0 <= found["fourwalls_scheduler_tick_age_s"][0][1] < 60


def test_special_characters_in_labels_are_escaped(scraper, gpus):
    Device.objects.filter(id="g-0").update(name='H200 "SXM"\n\\')
    assert scraped(scraper)["DCGM_FI_DEV_GPU_UTIL"][0][0]["modelName"] == 'H200 "SXM"\n\\'


@pytest.mark.django_db
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer fw_nothing"}])
def test_a_request_without_a_token_is_refused(headers):
    answer = Client(headers=headers).get("/metrics")
    assert answer.status_code == 401
    assert "DCGM" not in answer.text


def test_a_session_may_read_the_metrics(owner, gpus):
    browser = Client()
    browser.force_login(owner)
    assert "DCGM_FI_DEV_GPU_UTIL" in browser.get("/metrics").text


def test_more_devices_take_the_same_number_of_queries(
    scraper, make_node, make_job, django_assert_max_num_queries
):
    make_node("c", devices=2)
    with django_assert_max_num_queries(14) as few:
        scraped(scraper)
    for name in "def":
        make_node(name, devices=8)
    with django_assert_max_num_queries(len(few.captured_queries)):
        scraped(scraper)

"""Logs on other machines, requested by views and uploaded by agents."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from engine.directory import AttemptDirectory
from jobs.agent.loop import Agent
from jobs.attempts import logs
from jobs.models import Attempt, AttemptNode, Job, Node, Pool, UploadedLog
from jobs.states.jobs import AttemptState
from jobs.states.nodes import Health
from tests.jobs.placed_jobs import claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(make_job) -> Job:
    return make_job(devices=2)


@pytest.fixture
def log(job, tmp_path, settings) -> Path:
    """The log of rank 1 on its node."""
    settings.NODE_DIR = tmp_path
    _, directory = claim(job, tmp_path)
    path = directory.log / "rank1.log"
    path.write_text("first\nsecond\n")
    return path


@contextlib.contextmanager
def elsewhere(log: Path) -> Iterator[None]:
    """Hide the attempt's folder, as on the web server's machine."""
    home = log.parents[1]
    away = home.rename(home.with_name("away"))
    try:
        yield
    finally:
        away.rename(home)


def view(job: Job, log: Path, rank: int = 1) -> logs.LogTail:
    with elsewhere(log):
        return logs.tail(job, rank)


def test_the_first_view_requests_the_log_and_the_next_one_shows_it(job, node, log):
    asked = view(job, log)
    assert (asked.lines, asked.is_coming) == ([], True)
    assert asked.reason == "The log is on node a; its agent has been asked for it."
    assert logs.upload(node) == 1
    uploaded = view(job, log)
    assert (uploaded.lines, uploaded.node, uploaded.reason) == (["first", "second"], "a", "")
    assert uploaded.read_at and uploaded.size_bytes == 13


def test_the_agent_uploads_it(job, node, log, tmp_path):
    view(job, log)
    Attempt.objects.update(state=AttemptState.STOPPED)  # the logs of ended attempts are viewed most
    Agent(node, tmp_path).tick()
    assert view(job, log).lines == ["first", "second"]
    assert not view(job, log).is_coming, "nothing more is written"


def test_a_log_that_has_not_grown_is_not_uploaded_again(job, node, log):
    view(job, log)
    logs.upload(node)
    assert logs.upload(node) == 0
    with log.open("a") as file:
        file.write("third\n")
    assert logs.upload(node) == 1
    assert view(job, log).lines[-1] == "third"


def test_uploads_stop_when_the_request_has_expired(job, node, log):
    view(job, log)
    UploadedLog.objects.update(wanted_until=timezone.now() - timedelta(seconds=1))
    assert logs.upload(node) == 0
    view(job, log)
    assert logs.upload(node) == 1


def test_frequent_views_write_rarely(job, node, log):
    view(job, log)
    with CaptureQueriesContext(connection) as queries:
        view(job, log)
    assert not [q for q in queries if q["sql"].startswith(("UPDATE", "INSERT", "DELETE"))]


def test_only_the_end_of_a_long_log_is_uploaded(job, node, log):
    log.write_bytes(b"x" * 200_000 + b"\nlast\0 \xff\n")
    view(job, log)
    logs.upload(node)
    uploaded = view(job, log)
    assert uploaded.lines == ["last �"] and uploaded.is_cut and uploaded.size_bytes == 200_009


def test_an_unreachable_node_is_named(job, node, log):
    Node.objects.update(health=Health.UNREACHABLE)
    assert view(job, log).reason == "The log is on node a, which is unreachable."


def test_a_deleted_folder_is_given_as_the_reason(job, node, log):
    view(job, log)
    with elsewhere(log):
        logs.upload(node)
        assert "is not on the node's disk any more" in logs.tail(job, 1).reason


def test_a_folder_that_is_away_is_not_called_deleted(job, node, log, tmp_path):
    view(job, log)
    away = (tmp_path / "attempts").rename(tmp_path / "unmounted")
    logs.upload(node)
    assert logs.tail(job, 1).reason.endswith("/attempts of the node cannot be reached now.")
    away.rename(tmp_path / "attempts")
    logs.upload(node)
    assert view(job, log).lines == ["first", "second"]


def test_a_missing_rank_is_not_requested(job, node, log):
    assert view(job, log, rank=2).reason == "Attempt 1 has no rank 2."
    assert not UploadedLog.objects.exists()


def test_an_agent_uploads_only_logs_of_its_node(job, node, log, make_node):
    view(job, log)
    assert logs.upload(make_node("b")) == 0


def test_a_log_without_views_for_a_day_is_deleted(job, node, log):
    view(job, log)
    UploadedLog.objects.update(wanted_until=timezone.now() - timedelta(days=2))
    view(job, log, rank=0)
    assert list(UploadedLog.objects.values_list("rank", flat=True)) == [0]


def test_ranks_of_a_gang_are_read_on_their_own_nodes(make_job, make_node, settings, tmp_path):
    settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
    facts = {"checkpoint_root": settings.CHECKPOINT_ROOT}
    job = make_job(devices=2)
    Node.objects.update(facts=facts)
    Pool.objects.update(allows_several_nodes=True)
    attempt, first = claim(job, tmp_path / "a")
    other = make_node("b", facts=facts)
    lease = attempt.leases.get(rank=1)
    lease.device = other.devices.first()
    lease.save()
    Attempt.objects.update(num_nodes=2)
    placement = first.read_placement()
    second = AttemptDirectory(tmp_path / "b" / "attempt")
    for rank, directory, node in ((0, first, attempt.node), (1, second, other)):
        directory.path.mkdir(parents=True, exist_ok=True)
        directory.log.mkdir(exist_ok=True)
        seats = tuple(seat for seat in placement.seats if seat.rank == rank)
        directory.write_placement(msgspec.structs.replace(placement, seats=seats))
        (directory.log / f"rank{rank}.log").write_text(f"rank {rank} of {node.name}\n")
        AttemptNode.objects.create(attempt=attempt, node=node, directory=str(directory.path))
    assert [logs.tail(job, rank).lines for rank in (0, 1)] == [["rank 0 of a"], ["rank 1 of b"]]

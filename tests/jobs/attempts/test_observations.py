"""Repeated observation of checkpoints on a node's disk, with roots that go away and come back."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from engine.directory import AttemptDirectory
from jobs.attempts import observations
from jobs.attempts.ingest import ingest
from jobs.lifecycle.ending import end_attempt
from jobs.lifecycle.resumption import newest_step
from jobs.models import Checkpoint, Job, Node, NodeEvent
from jobs.nodes import folders
from jobs.states.jobs import AttemptState, Cause
from tests.jobs.fake_supervisor import make_checkpoint, write_spool
from tests.jobs.placed_jobs import claim

pytestmark = pytest.mark.django_db

CASES, SEED = 30, 11


@pytest.fixture
def node_dir(settings) -> Path:
    settings.NODE_DIR.mkdir()
    return settings.NODE_DIR


@pytest.fixture
def job(make_job, node_dir) -> Job:
    """A job whose first attempt has ended with checkpoints at steps 10 to 50."""
    made = make_job()
    attempt, directory = claim(made, node_dir)
    write_spool(directory, *[make_checkpoint(directory, step) for step in range(10, 60, 10)])
    ingest(attempt, node_dir=node_dir)
    end_attempt(attempt, AttemptState.STOPPED, "stopped", Cause.STOPPED)
    return made


def folder_of(job: Job, node_dir: Path) -> Path:
    return AttemptDirectory(node_dir / job.attempts.get().directory).checkpoints


def look(node: Node, node_dir: Path) -> None:
    observations.observe(Node.objects.get(id=node.id), node_dir)


def seen() -> list[int]:
    return sorted(Checkpoint.objects.filter(gone_at=None).values_list("step", flat=True))


@pytest.mark.parametrize("case", range(CASES))
def test_what_is_seen_is_what_is_there_and_a_missing_root_marks_nothing(job, node, node_dir, case, tmp_path):
    rng = random.Random(SEED * 1000 + case)
    home, away = node_dir / "attempts", tmp_path / "away"
    folder, shelf = folder_of(job, node_dir), tmp_path / "shelf"
    shelf.mkdir()
    there, known = set(range(10, 60, 10)), set(range(10, 60, 10))
    for _ in range(12):
        act = rng.choice(["delete", "return", "unmount", "row"])
        if act == "delete" and len(there) > 1:
            step = rng.choice(sorted(there))
            shutil.move(folder / f"step-{step:08d}", shelf)
            there.remove(step)
        elif act == "return" and known - there:
            step = rng.choice(sorted(known - there))
            shutil.move(shelf / f"step-{step:08d}", folder)
            there.add(step)
        elif act == "row" and len(there) > 1:  # a database older than the disk
            Checkpoint.objects.filter(step=rng.choice(sorted(there))).delete()
        elif act == "unmount":
            before = seen()
            home.rename(away)
            if rng.random() < 0.5:
                home.mkdir()  # an empty mount point
            look(node, node_dir)
            assert seen() == before, "a missing root marks nothing"
            assert "Nothing is marked as lost" in Node.objects.get(id=node.id).storage_problem
            if home.exists():
                home.rmdir()
            away.rename(home)
        look(node, node_dir)
        assert seen() == sorted(there)
        assert newest_step(job.id) == max(there)
        assert Node.objects.get(id=node.id).storage_problem == ""
    problems = NodeEvent.objects.filter(kind="node.storage").count()
    assert problems == NodeEvent.objects.filter(kind="node.storage ok").count()


def test_a_shared_root_without_its_id_is_away(node, node_dir, settings, tmp_path, make_job):
    settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
    look(node, node_dir)
    root_id = folders.read_root_id()
    assert root_id and Node.objects.get(id=node.id).facts[folders.ROOT_NOW] == root_id
    made = make_job()
    attempt, directory = claim(made, node_dir)
    write_spool(directory, make_checkpoint(directory, 10))
    ingest(attempt, node_dir=node_dir)
    assert Checkpoint.objects.get().root_id == root_id
    root, away = tmp_path / "shared", tmp_path / "away"
    root.rename(away)
    for is_mount_point in (False, True):
        if is_mount_point:
            root.mkdir()
        look(node, node_dir)
        assert seen() == [10]
        assert "is away" in Node.objects.get(id=node.id).storage_problem
    assert folders.read_root_id() == "", "an empty mount point does not become the root"
    root.rmdir()
    away.rename(root)
    look(node, node_dir)
    assert (seen(), Node.objects.get(id=node.id).storage_problem) == ([10], "")


def test_two_disks_at_one_path_are_two_roots(node, node_dir, settings, tmp_path, make_node):
    settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
    other = make_node("b")
    look(node, node_dir)
    (tmp_path / "shared").rename(tmp_path / "disk of a")
    look(other, node_dir)
    ids = {folders.root_of(one.facts) for one in Node.objects.all()}
    assert len(ids) == 2 and "" not in ids

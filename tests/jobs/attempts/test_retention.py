"""Clean-up of the folders of old attempts."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from engine.directory import AttemptDirectory
from engine.supervisor.locks import lock_folder
from jobs.attempts.retention import clean_up
from jobs.lifecycle.transitions import move_attempt, move_job
from jobs.models import Attempt, AttemptNode, Job
from jobs.nodes import inventory
from jobs.states.jobs import AttemptState, JobState
from tests.jobs.fake_supervisor import make_checkpoint
from tests.jobs.placed_jobs import claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def node_dir(settings, node) -> Path:
    """The folder of node `node` on this machine."""
    settings.NODE_DIR.mkdir()
    (settings.NODE_DIR / "node_id").write_text(node.id)
    assert inventory.node_id(settings.NODE_DIR) == node.id
    return settings.NODE_DIR


def ended(job: Job, node_dir: Path, step: int | None = None) -> AttemptDirectory:
    """Return the folder of one more attempt, which failed after a checkpoint at `step`."""
    attempt, directory = claim(job, node_dir)
    if step is not None:
        make_checkpoint(directory, step)
    move_attempt(attempt.id, AttemptState.FAILED, actor="test")
    move_job(job.id, JobState.QUEUED, actor="test")
    return directory


def left(*directories: AttemptDirectory) -> list[bool]:
    return [directory.path.exists() for directory in directories]


def test_the_newest_attempts_of_each_job_stay(node_dir, make_job):
    first, second = make_job(devices=1), make_job(devices=1)
    of_first = [ended(first, node_dir) for _ in range(4)]
    of_second = [ended(second, node_dir)]
    done = clean_up(node_dir, keep=2)
    assert left(*of_first) == [False, False, True, True]
    assert left(*of_second) == [True]
    assert list(done.removed) == [f"{first.id}/1", f"{first.id}/2"]
    assert done.freed_bytes > 0 and done.num_kept == 3
    assert Attempt.objects.filter(job=first, number__lte=4).count() == 4


def test_the_newest_checkpoint_stays_however_old_its_attempt_is(node_dir, make_job):
    job = make_job()
    old, best, late, newest = (ended(job, node_dir, step) for step in (20, 80, 40, None))
    clean_up(node_dir, keep=1)
    assert left(old, best, late, newest) == [False, True, False, True]
    assert best.newest_checkpoint() is not None


def test_the_folders_of_live_attempts_stay(node_dir, make_job):
    job = make_job()
    first = ended(job, node_dir)
    _, running = claim(job, node_dir)
    Attempt.objects.filter(number=1).update(state=AttemptState.RUNNING)
    clean_up(node_dir, keep=1)
    assert left(first, running) == [True, True]


def test_a_folder_that_a_supervisor_still_holds_stays_for_the_next_time(node_dir, make_job):
    job = make_job()
    first, _ = ended(job, node_dir), ended(job, node_dir)
    lock = lock_folder(first.path)
    assert not clean_up(node_dir, keep=1).removed
    assert left(first) == [True] and lock


def test_folders_without_a_row_of_this_node_are_left_alone(node_dir, make_job):
    stranger = node_dir / "attempts" / "somebody-1"
    stranger.mkdir(parents=True)
    job = make_job()
    first, _ = ended(job, node_dir), ended(job, node_dir)
    Attempt.objects.filter(number=1).update(directory="/elsewhere")
    clean_up(node_dir, keep=1)
    assert stranger.exists() and first.path.exists()


def test_the_leftovers_of_an_interrupted_call_are_deleted(node_dir):
    (node_dir / "tidied" / "job-1").mkdir(parents=True)
    clean_up(node_dir)
    assert not (node_dir / "tidied").exists()


def test_the_command_prints_what_it_would_delete_and_what_it_deleted(node_dir, make_job):
    job = make_job()
    first, _ = ended(job, node_dir), ended(job, node_dir)
    out = StringIO()
    call_command("tidy", "--keep=1", "--dry-run", stdout=out)
    assert "Would delete 1 folders" in out.getvalue() and first.path.exists()
    call_command("tidy", "--keep=1", stdout=out)
    assert f"{job.id}/1" in out.getvalue() and not first.path.exists()


def test_keeping_nothing_is_refused(node_dir):
    with pytest.raises(CommandError, match="at least 1"):
        call_command("tidy", "--keep=0")


class TestSeveralNodes:
    @pytest.fixture
    def shared(self, settings, tmp_path) -> Path:
        settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
        return tmp_path / "shared"

    def test_checkpoints_that_nodes_share_go_by_the_same_rules(self, node_dir, shared, make_job):
        job = make_job()
        for step in (20, 80, 40, 60):
            ended(job, node_dir, step)
        (shared / "somebody-1").mkdir()
        done = clean_up(node_dir, keep=1)
        there = sorted(path.name for path in shared.iterdir())
        assert there == sorted([f"{job.id}-2", f"{job.id}-4", "somebody-1"])
        assert f"{job.id}/1 (shared checkpoints)" in done.removed

    def test_shared_checkpoints_are_tidied_from_a_node_that_has_nothing_else_of_the_job(
        self, node_dir, shared, make_job, tmp_path
    ):
        job = make_job()
        first, _ = (ended(job, tmp_path / "elsewhere", step) for step in (20, 80))
        Attempt.objects.update(directory="/on/another/machine")
        clean_up(node_dir, keep=1)
        assert [path.name for path in shared.iterdir()] == [f"{job.id}-2"]
        assert first.path.exists(), "folders on another machine are not deleted from here"

    def test_a_gang_leaves_a_folder_on_each_node(self, node_dir, node, make_node, make_job):
        job, other = make_job(), make_node("b", devices=0)
        mine, theirs = ended(job, node_dir), node_dir / "attempts" / "theirs"
        theirs.mkdir()
        first = Attempt.objects.get(job=job)
        Attempt.objects.filter(id=first.id).update(node=other, num_nodes=2, directory="/on/b")
        AttemptNode.objects.create(attempt=first, node=node, directory=str(mine.path))
        AttemptNode.objects.create(attempt=first, node=other, directory=str(theirs))
        ended(job, node_dir)
        done = clean_up(node_dir, keep=1)
        assert left(mine) == [False] and theirs.exists()
        assert list(done.removed) == [f"{job.id}/1"]

    def test_a_folder_that_another_node_just_removed_is_skipped(
        self, node_dir, shared, make_job, monkeypatch
    ):
        job = make_job()
        for step in (20, 80):
            ended(job, node_dir, step)
        gone = shared / f"{job.id}-1"

        def hold_late(path: Path) -> int | None:
            if path == gone:
                gone.rename(shared / ".elsewhere")
            return lock_folder(path)

        monkeypatch.setattr("jobs.attempts.retention.lock_folder", hold_late)
        assert list(clean_up(node_dir, keep=1).removed) == [f"{job.id}/1"]

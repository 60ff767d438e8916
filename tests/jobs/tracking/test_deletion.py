"""Deletion of runs and projects: back from the bin, or gone from every table and folder."""

from __future__ import annotations

import os
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from engine.directory import AttemptDirectory
from engine.supervisor.locks import lock_folder
from jobs.attempts import removal
from jobs.models import (
    Attempt,
    Charge,
    Deletion,
    FolderRemoval,
    Job,
    Node,
    Project,
    ProjectEvent,
    Run,
    RunEvent,
)
from jobs.states.jobs import AttemptState, JobState
from jobs.tracking import artefacts, deletion, external_runs, projects, purging
from jobs.tracking.external_runs import TrackingError
from tests.jobs.tracking.every_table import RowMaker, list_owned, read_pks, read_rows

pytestmark = pytest.mark.django_db
RECORDS = {Deletion, FolderRemoval, Charge}  # stay: who deleted what, and what it used
# A row of a deletion's own event is no row of the run's data.
WITHOUT_EVENTS = {RunEvent, ProjectEvent, Deletion}


@pytest.fixture
def root(settings: Any, tmp_path: Path) -> Path:
    settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
    return tmp_path


def end_job(job: Job, node: Node, node_dir: Path, seed: int) -> Job:
    """A job that has ended, with a row in every table and files in every folder."""
    directory = f"attempts/{job.id}-1"
    attempt = Attempt.objects.create(
        job=job,
        node=node,
        number=1,
        state=AttemptState.SUCCEEDED,
        directory=directory,
        ended_at=timezone.now(),
    )
    Job.objects.filter(id=job.id).update(state=JobState.SUCCEEDED, ended_at=timezone.now(), attempt_number=1)
    job.refresh_from_db()
    artefacts.save(job.run, "plots/loss.png", [b"picture"], actor="olga")
    RowMaker(job, attempt, seed).fill()
    shared = node_dir.parent / "shared"
    for folder in (node_dir / "attempts", node_dir / "copies", shared):
        path = folder / f"{job.id}-1"
        (path / "checkpoints").mkdir(parents=True)
        (path / "checkpoints" / "weights").write_bytes(b"1" * 100)
    return job


def let_time_pass() -> None:
    Deletion.objects.update(due_at=timezone.now() - timedelta(seconds=1))


def traces_of(job: Job, root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if job.id in path.name or job.run.id in path.name]


def without(rows: dict[Any, Any], left_out: set[Any]) -> dict[Any, Any]:
    found = {model: values for model, values in rows.items() if model not in left_out}
    for row in (*found[Run], *found[Project]):
        row.pop("updated_at", None)
    return found


def test_the_rows_cover_every_table_of_a_run(make_job, node, settings, root):
    job = end_job(make_job(), node, settings.NODE_DIR, 1)
    empty = [model.__name__ for model in list_owned() if not model._default_manager.exists()]
    assert empty == [] and len(list_owned()) > 35
    assert traces_of(job, root)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_left_of_deleted_runs_and_nothing_of_others_is_lost(
    seed, make_job, node, settings, root, django_capture_on_commit_callbacks
):
    drawn = random.Random(seed)
    kept = [end_job(make_job(), node, settings.NODE_DIR, 10 * seed + n) for n in range(drawn.randint(1, 2))]
    before = read_pks()
    rows_before = read_rows()
    gone = [
        end_job(make_job(), node, settings.NODE_DIR, 10 * seed + 5 + n) for n in range(drawn.randint(1, 3))
    ]
    runs = [job.run for job in gone]
    deletion.delete_runs(Run.objects.filter(job__in=gone), actor="olga")
    let_time_pass()
    with django_capture_on_commit_callbacks(execute=True):
        while purging.purge_due():
            pass
    removal.remove_wanted(node, settings.NODE_DIR)
    left = {
        model.__name__: pks - before[model]
        for model, pks in read_pks().items()
        if pks - before[model] and model not in RECORDS and model.__name__ not in MADE_BESIDE
    }
    assert left == {}
    assert not FolderRemoval.objects.exists()
    assert not Charge.objects.filter(attempt__job__in=gone).exists()
    for model, rows in rows_before.items():
        assert {row["id"] for row in rows if "id" in row} <= {
            row["id"] for row in model._default_manager.values() if "id" in row
        }, model
    for job, run in zip(gone, runs, strict=True):
        job.run = run
        assert traces_of(job, root) == []
    for job in kept:
        assert len(traces_of(job, root)) >= 4
    record = Deletion.objects.get()
    assert (record.state, record.actor, record.num_runs) == ("deleted", "olga", len(gone))
    assert record.num_files >= len(gone)


MADE_BESIDE = {"Sweep", "Template", "Team"}  # the maker's objects that belong to no run


@pytest.mark.parametrize("seed", range(3))
def test_before_its_time_everything_comes_back(seed, make_job, node, team, settings, root):
    jobs = [end_job(make_job(), node, settings.NODE_DIR, 10 * seed + n) for n in range(2)]
    project = projects.create(team, "alpha", actor="olga")
    deletion.move_runs(Run.objects.filter(job__in=jobs), project, actor="olga")
    before = read_rows()
    made = deletion.delete_project(project, actor="olga")
    assert made.num_runs == 2 and made.project_name == "alpha"
    assert purging.purge_due() == 0
    assert deletion.restore(made, actor="tom")
    assert without(read_rows(), WITHOUT_EVENTS) == without(before, WITHOUT_EVENTS)
    assert all(len(traces_of(job, root)) >= 4 for job in jobs)
    let_time_pass()
    assert purging.purge_due() == 0 and not deletion.restore(made, actor="tom")
    kinds = list(RunEvent.objects.filter(run=jobs[0].run).order_by("id").values_list("kind", "actor"))
    assert kinds[-2:] == [("run.deleted", "olga"), ("run.restored", "tom")]


def test_a_project_goes_with_its_runs_and_its_name_is_free_again(
    team, owner, root, django_capture_on_commit_callbacks
):
    run = external_runs.begin(
        team=team, owner=owner, project="alpha", params={"lr": "1"}, name="a", origin="test"
    )
    external_runs.set_state(run, "succeeded", actor="olga")
    deletion.delete_project(run.project, actor="olga")
    with pytest.raises(projects.NameTaken, match="in the bin"):
        projects.create(team, "alpha", actor="olga")
    with pytest.raises(TrackingError, match="in the bin"):
        external_runs.begin(team=team, owner=owner, project="alpha", params={}, name="b", origin="test")
    let_time_pass()
    with django_capture_on_commit_callbacks(execute=True):
        purging.purge_due()
        purging.purge_due()
    assert not Project.objects.exists() and not Run.objects.exists()
    assert projects.create(team, "alpha", actor="olga")


def test_what_is_still_in_use_is_refused_with_the_way_out(make_job, team, owner, root):
    job = make_job()
    with pytest.raises(TrackingError, match="is queued"):
        deletion.delete_runs(Run.objects.filter(job=job), actor="olga")
    run = external_runs.create(team=team, owner=owner, name="live", origin="test")
    with pytest.raises(TrackingError, match="still being logged"):
        deletion.delete_runs(Run.objects.filter(id=run.id), actor="olga")
    Run.objects.filter(id=run.id).update(last_seen_at=timezone.now() - timedelta(hours=1))
    assert deletion.delete_runs(Run.objects.filter(id=run.id), actor="olga")
    assert not Deletion.objects.filter(num_runs=0).exists()


def test_a_folder_in_use_stays_with_its_reason_until_it_is_free(make_job, node, settings, root):
    job = end_job(make_job(), node, settings.NODE_DIR, 1)
    purging.request_removals([job.id])
    lock = lock_folder(settings.NODE_DIR / "attempts" / f"{job.id}-1")
    assert lock is not None
    assert removal.remove_wanted(node, settings.NODE_DIR) == 0
    assert "still uses" in FolderRemoval.objects.get().problem

    os.close(lock)
    assert removal.remove_wanted(node, settings.NODE_DIR) == 1
    assert not AttemptDirectory(settings.NODE_DIR / "attempts" / f"{job.id}-1").path.exists()


@pytest.mark.parametrize("name", ["../outside", "..", "a/b", "", "x" * 60 + "-1", ".root-id"])
def test_a_name_that_is_no_attempts_folder_is_never_removed(name, node, settings, tmp_path):
    (tmp_path / "outside").mkdir()
    settings.NODE_DIR.mkdir(exist_ok=True)
    FolderRemoval.objects.create(node=node, name=name)
    assert removal.remove_wanted(node, settings.NODE_DIR) == 0
    assert (tmp_path / "outside").is_dir()


def test_runs_move_between_projects_of_their_team_only(make_job, team, other_team, root):
    job = make_job()
    alpha, foreign = (
        projects.create(team, "alpha", actor="olga"),
        projects.create(other_team, "beta", actor="sam"),
    )
    runs = Run.objects.filter(job=job)
    assert deletion.move_runs(runs, alpha, actor="olga") == 1
    assert deletion.move_runs(runs, alpha, actor="olga") == 0
    with pytest.raises(TrackingError, match="another team"):
        deletion.move_runs(runs, foreign, actor="olga")
    assert deletion.move_runs(runs, None, actor="olga") == 1
    assert Run.objects.get(job=job).project is None

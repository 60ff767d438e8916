"""A home and its database that are moved to another path and another machine name."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.urls import reverse

from engine.directory import AttemptDirectory
from jobs import series
from jobs.agent import returning
from jobs.agent.loop import Agent
from jobs.attempts import checkpoints, logs
from jobs.attempts.ingest import ingest
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, AttemptNode, Checkpoint, Job, Node
from jobs.nodes import inventory
from jobs.queue import job_actions
from jobs.states.jobs import AttemptState, Cause, JobState
from jobs.tracking import artefacts
from tests.jobs.fake_supervisor import make_checkpoint, step_line, write_spool
from tests.jobs.placed_jobs import assign, claim

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

CASES, SEED = 12, 39


class Home:
    """The folders of a Fourwalls, below one path."""

    def __init__(self, path: Path, settings: Any) -> None:
        self.path, self.settings = path, settings
        self.use()

    def use(self) -> None:
        self.settings.NODE_DIR = self.path / "node"
        self.settings.ARTEFACT_ROOT = self.path / "artefacts"
        self.settings.DATA_DIR = self.path / "data"
        if self.settings.CHECKPOINT_ROOT:
            self.settings.CHECKPOINT_ROOT = str(self.path / "shared")

    def move(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.path, path)
        self.path = path
        self.use()


@pytest.fixture(params=range(CASES))
def rng(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(SEED * 1000 + request.param)


@pytest.fixture
def home(rng, settings, tmp_path, monkeypatch) -> Home:
    settings.CHECKPOINT_ROOT = str(tmp_path / "x") if rng.random() < 0.4 else ""
    monkeypatch.setattr(inventory, "devices", lambda: [])
    home = Home(tmp_path / "first home", settings)
    home.path.mkdir()
    return home


def fill(home: Home, make_job: Any, node: Node, rng: random.Random) -> dict[str, dict[int, str]]:
    """Create jobs with attempts, logs, checkpoints, curves and artefacts. Returns job -> attempt -> its log."""
    texts: dict[str, dict[int, str]] = {}
    home.settings.NODE_DIR.mkdir(parents=True, exist_ok=True)
    (home.settings.NODE_DIR / "node_id").write_text(node.id)
    for _ in range(rng.randint(1, 3)):
        job = make_job(devices=1)
        texts[job.id] = {}
        step = 0
        for number in range(1, rng.randint(2, 4)):
            attempt, directory = claim(Job.objects.get(id=job.id), home.settings.NODE_DIR)
            text = f"log of {job.id} attempt {number}"
            (directory.log / "rank0.log").write_text(text + "\n")
            texts[job.id][number] = text
            lines: list[Any] = []
            for _ in range(rng.randint(1, 9)):
                step += 1
                lines.append(step_line(step))
                if rng.random() < 0.5:
                    lines.append(make_checkpoint(directory, step))
            write_spool(directory, *lines)
            ingest(attempt, node_dir=home.settings.NODE_DIR)
            end_attempt(attempt, AttemptState.STOPPED, "stopped", Cause.STOPPED)
        job_actions.pause(job, "tom")
        artefacts.save(job.run, "plots/loss.png", [b"png of " + job.id.encode()], actor="tom")
    return texts


def look(texts: dict[str, dict[int, str]]) -> dict[str, Any]:
    """Return all that a person can see of the jobs' files and curves."""
    found: dict[str, Any] = {}
    for job in Job.objects.filter(id__in=texts).order_by("id"):
        (curve,) = series.read([job.run.id], ["loss"], points=1000)
        found[job.id] = {
            "curve": [curve.x.tolist(), curve.mean.tolist()],
            "logs": {number: logs.tail(job, 0, attempt=number).lines for number in texts[job.id]},
            "checkpoints": [
                (row.step, row.size_bytes, checkpoints.get_local_path(row) is not None)
                for row in checkpoints.list_checkpoints(job.run)
            ],
            "artefacts": [artefacts.find_file(one).read_bytes() for one in job.run.artefacts.all()],
        }
    return found


def test_charts_logs_checkpoints_and_artefacts_are_complete(
    home, make_job, node, rng, tmp_path, monkeypatch, owner_browser
):
    texts = fill(home, make_job, node, rng)
    before = look(texts)
    assert all(lines == [texts[job][n]] for job, one in before.items() for n, lines in one["logs"].items())
    assert all(is_here for one in before.values() for *_, is_here in one["checkpoints"])
    home.move(tmp_path / "another disk" / "home")
    assert look(texts) == before, "before any agent runs"
    monkeypatch.setattr(inventory, "node_facts", lambda: {"hostname": "new-name", "machine_id": "other"})
    Node.objects.update(heartbeat_at=None)
    returning.catch_up(node.id, home.settings.NODE_DIR)
    moved = inventory.register(home.settings.NODE_DIR)
    Agent(moved, home.settings.NODE_DIR)._reconcile()
    assert (moved.id, moved.name, Node.objects.count()) == (node.id, "new-name", 1)
    assert look(texts) == before, "and after it has looked"
    assert not Checkpoint.objects.exclude(gone_at=None).exists()
    for job in Job.objects.filter(id__in=texts):
        page = owner_browser.get(reverse("run", args=[job.run.id]))
        assert page.status_code == 200
        step = max((step for step, *_ in before[job.id]["checkpoints"]), default=None)
        assert resumed_step(job, home) == step


def resumed_step(job: Job, home: Home) -> int | None:
    """Resume the job, and return the step from which its next attempt starts."""
    Job.objects.filter(id=job.id).update(state=JobState.QUEUED)
    job.pool.nodes.first().devices.update(is_present=True)
    Node.objects.update(admin_state="open", health="ok")
    attempt, directory = claim(Job.objects.get(id=job.id), home.settings.NODE_DIR)
    source = directory.read_placement().resume_from
    end_attempt(attempt, AttemptState.STOPPED, "stopped", Cause.STOPPED)
    job_actions.pause(job, "tom")
    assert source is None or Path(source).is_relative_to(home.path)
    return int(source.rpartition("-")[2]) if source else None


@pytest.mark.parametrize("root", ["/srv/home/node", "/old place/.fourwalls/node", "/n"])
def test_absolute_paths_of_an_older_database_become_relative(root, make_job, node):
    from importlib import import_module

    from django.apps import apps

    migration = import_module("jobs.migrations.0042_locality")
    job = make_job()
    attempt = assign(job)
    name = f"{job.id}-{attempt.number}"
    Attempt.objects.update(
        directory=f"{root}/attempts/{name}",
        checkpoint=f"{root}/attempts/{name}/checkpoints/step-00000040",
        resumed_from=f"/mnt/shared/{name}/step-00000020",
    )
    AttemptNode.objects.create(attempt=attempt, node=node, directory=f"{root}/attempts/{name}")
    for step, path in ((40, f"{root}/attempts/{name}/checkpoints"), (50, f"/mnt/shared/{name}")):
        Checkpoint.objects.create(
            run=job.run,
            attempt=attempt,
            step=step,
            path=f"{path}/step-{step:08d}",
            saved_at=attempt.assigned_at,
        )
    migration.make_paths_relative(apps, connection.schema_editor)
    attempt.refresh_from_db()
    assert attempt.directory == f"attempts/{name}"
    assert attempt.checkpoint == f"attempts/{name}/checkpoints/step-00000040"
    assert attempt.resumed_from == f"{name}/step-00000020"
    assert attempt.attempt_nodes.get().directory == f"attempts/{name}"
    paths = list(Checkpoint.objects.order_by("step").values_list("path", flat=True))
    assert paths == [f"attempts/{name}/checkpoints/step-00000040", f"{name}/step-00000050"]
    migration.make_paths_relative(apps, connection.schema_editor)
    assert Attempt.objects.get().directory == f"attempts/{name}", "a second run changes nothing"
    assert AttemptDirectory(f"attempts/{name}").path

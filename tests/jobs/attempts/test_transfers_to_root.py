"""Checkpoints of one node's disk that a gang resumes from: copied into the shared root, whichever node holds them."""

from __future__ import annotations

import json
import random

import pytest
from django.utils import timezone

from jobs.agent import resuming
from jobs.attempts import transfers
from jobs.models import Checkpoint, Job
from jobs.nodes import folders
from jobs.states.jobs import AttemptState

pytestmark = pytest.mark.django_db


@pytest.fixture
def gang(make_job, make_node, node, tmp_path, settings):
    """An ended attempt on one of two nodes, made before the root was set, and a new one over both."""
    settings.CHECKPOINT_ROOT = str(tmp_path / "shared")
    nodes = [node, make_node("b", devices=2)]
    dirs = {one.id: tmp_path / one.id for one in nodes}
    for one in nodes:
        dirs[one.id].mkdir()
        one.facts |= folders.list_facts(dirs[one.id], one.facts)
        one.heartbeat_at = timezone.now()
        one.save()
    job = make_job()
    Job.objects.update(attempt_number=2)
    return job, nodes, dirs


@pytest.mark.parametrize("holder", [0, 1], ids=["node of rank 0", "other node"])
@pytest.mark.parametrize("seed", range(5))
def test_a_gang_resumes_from_a_checkpoint_of_one_disk(gang, holder: int, seed: int):
    job, nodes, dirs = gang
    rng, own = random.Random(seed), nodes[holder]
    path = f"attempts/{job.id}-1"
    old = job.attempts.create(number=1, node=own, state=AttemptState.STOPPED, directory=path)
    row = Checkpoint.objects.create(
        run=job.run, attempt=old, step=50, path=f"{path}/checkpoints/step-00000050", saved_at=timezone.now()
    )
    files = {f"{n}.bin": rng.randbytes(rng.randrange(1, 5000)) for n in range(3)}
    source = dirs[own.id] / row.path
    source.mkdir(parents=True)
    for name, content in files.items():
        (source / name).write_bytes(content)
    manifest = {
        "format": 2,
        "step": 50,
        "files": {n: len(c) for n, c in files.items()},
        "spec": {},
        "layout": {},
    }
    (source / "manifest.json").write_text(json.dumps(manifest))
    new = job.attempts.create(number=2, node=nodes[0], state=AttemptState.ASSIGNED, num_nodes=2)
    assert resuming.find_sources(new, nodes[1], dirs[nodes[1].id], is_gang=True) == resuming.Sources()
    with pytest.raises(resuming.CheckpointPending):
        resuming.find_sources(new, nodes[0], dirs[nodes[0].id], is_gang=True)
    for _ in range(100):
        if not sum(transfers.send(n, dirs[n.id]) + transfers.receive(n, dirs[n.id]) for n in nodes):
            break
    found = resuming.find_sources(new, nodes[0], dirs[nodes[0].id], is_gang=True).resume_from
    assert found is not None and found.parts[-4:-2] == (dirs[own.id].parent.name, "shared")
    assert {p.name: p.read_bytes() for p in found.glob("*.bin")} == files

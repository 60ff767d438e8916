"""Transfer of checkpoints between two nodes without a shared folder, over generated files, kills and damage."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from django.utils import timezone

from jobs.attempts import locations, transfers
from jobs.models import Checkpoint, CheckpointCopy, CheckpointPart, Event, Job, Node
from jobs.states.jobs import AttemptState

pytestmark = pytest.mark.django_db

CASES, SEED = 40, 7
PART = 256  # bytes, so that small files take many parts


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(transfers, "PART_BYTES", PART)
    monkeypatch.setattr(transfers, "WINDOW", 3)


class TwoDisks:
    """A checkpoint on node a, and node b, which needs it."""

    def __init__(self, row: Checkpoint, nodes: dict[str, Node], folder: Path) -> None:
        self.row, self.nodes = row, nodes
        self.dirs = {name: folder / name for name in nodes}
        self.source = self.dirs["a"] / row.path

    def write(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        manifest = {"format": 2, "step": self.row.step, "files": {n: len(c) for n, c in files.items()}}
        manifest |= {"spec": {}, "layout": {}}
        (self.source / "manifest.json").write_text(json.dumps(manifest))

    def request(self) -> CheckpointCopy:
        location = locations.locate_checkpoint(self.row)
        return transfers.request(self.row, location.reachable[0], self.nodes["b"])

    def send(self) -> int:
        return transfers.send(self.nodes["a"], self.dirs["a"])

    def receive(self) -> int:
        return transfers.receive(self.nodes["b"], self.dirs["b"])

    def run(self) -> CheckpointCopy:
        copy = self.request()
        for _ in range(1000):
            if not self.send() + self.receive():
                break
        copy.refresh_from_db()
        return copy

    def received(self, copy: CheckpointCopy) -> dict[str, bytes]:
        root = transfers.copy_path(copy, self.dirs["b"])
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def disks(make_job, make_node, node, tmp_path) -> TwoDisks:
    job = make_job()
    Job.objects.update(attempt_number=1)
    path = f"attempts/{job.id}-1"
    attempt = job.attempts.create(number=1, node=node, state=AttemptState.STOPPED, directory=path)
    row = Checkpoint.objects.create(
        run=job.run,
        attempt=attempt,
        step=50,
        path=f"{path}/checkpoints/step-00000050",
        saved_at=timezone.now(),
    )
    return TwoDisks(row, {"a": node, "b": make_node("b", devices=2)}, tmp_path)


def random_files(rng: random.Random) -> dict[str, bytes]:
    sizes = (0, 1, PART - 1, PART, PART + 1, 5 * PART, rng.randrange(4000))
    names = [f"{'x' * rng.randrange(1, 4)}/{n}.bin" if rng.random() < 0.4 else f"{n}.bin" for n in range(6)]
    return {name: rng.randbytes(rng.choice(sizes)) for name in names[: rng.randint(1, 6)]}


@pytest.mark.parametrize("case", range(CASES))
def test_every_file_arrives_whole_whoever_is_killed_in_between(disks, case):
    rng = random.Random(SEED * 1000 + case)
    files = random_files(rng)
    disks.write(files)
    (disks.source / "held-some-job").touch()
    copy = disks.request()
    most = 0
    for _ in range(1000):
        turn = rng.choice([disks.send, disks.receive])
        if rng.random() < 0.2:  # killed after its write, before the database has the position
            scratch = list(disks.dirs["b"].rglob(f".copying-{copy.id}-*"))
            for path in scratch[:1]:
                (path / "rubbish").write_bytes(b"left by an agent that was killed")
                (path / "rubbish").unlink()
        turn()
        most = max(most, CheckpointPart.objects.count())
        copy.refresh_from_db()
        if copy.state != locations.COPYING:
            break
    assert (copy.state, copy.reason) == (locations.READY, "")
    arrived = disks.received(copy)
    manifest = (disks.source / "manifest.json").read_bytes()
    assert arrived == {**files, "manifest.json": manifest}
    assert most <= 3, "a bounded number of parts lies in the database"
    assert not CheckpointPart.objects.exists()
    assert "with matching hashes" in Event.objects.get(kind="checkpoint").text


@pytest.mark.parametrize("case", range(10))
def test_a_damaged_part_is_found_and_the_copy_repeated(disks, case):
    rng = random.Random(SEED + case)
    disks.write({"a.bin": rng.randbytes(900), "b.bin": rng.randbytes(300)})
    copy = disks.request()
    disks.send(), disks.receive()
    (scratch,) = disks.dirs["b"].rglob(f".copying-{copy.id}-*")
    path = rng.choice([p for p in scratch.rglob("*.bin")])
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    done = disks.run()
    assert (done.state, done.num_tries) == (locations.READY, 1)
    assert disks.received(done)["a.bin"] == (disks.source / "a.bin").read_bytes()


def test_a_copy_that_never_matches_fails_with_the_file_and_is_tried_again_later(disks, monkeypatch):
    disks.write({"a.bin": b"x" * 700})
    monkeypatch.setattr(transfers, "_write", lambda *_: None)  # a disk that loses what it is given
    done = disks.run()
    assert (done.state, done.num_tries) == (locations.FAILED, transfers.TRIES)
    assert done.reason == "The SHA-256 of a.bin did not match in 3 tries."
    assert locations.locate_job(disks.row.attempt.job_id).failure == done.reason
    monkeypatch.undo()
    CheckpointCopy.objects.update(ended_at=timezone.now() - locations.RETRY_AFTER * 2)
    assert disks.run().state == locations.READY


@pytest.mark.parametrize("harm", ["missing", "short", "manifest"])
def test_a_damaged_source_is_said_and_marked(disks, harm):
    disks.write({"a.bin": b"x" * 700})
    if harm == "missing":
        (disks.source / "a.bin").unlink()
    elif harm == "short":
        (disks.source / "a.bin").write_bytes(b"x")
    else:
        (disks.source / "manifest.json").write_text("[]")
    done = disks.run()
    assert done.state == locations.FAILED and done.reason
    disks.row.refresh_from_db()
    assert disks.row.damage == done.reason
    location = locations.locate_job(disks.row.attempt.job_id)
    assert location.checkpoint is None, "and the job waits for a person"


def test_a_file_name_cannot_leave_the_folder(disks):
    disks.write({"a.bin": b"x" * 700})
    copy = disks.request()
    disks.send()
    CheckpointCopy.objects.update(files=[["../../evil", 700, "0" * 64]], size_bytes=700)
    disks.receive()
    copy.refresh_from_db()
    assert copy.state == locations.FAILED and "is not a file of a checkpoint" in copy.reason
    assert not list(disks.dirs["b"].parent.rglob("evil"))


def test_copies_that_no_job_needs_are_deleted(disks):
    disks.write({"a.bin": b"x" * 700})
    copy = disks.run()
    path = transfers.copy_path(copy, disks.dirs["b"])
    assert transfers.clean_up(disks.nodes["b"], disks.dirs["b"]) == 0
    Checkpoint.objects.create(
        run=disks.row.run, attempt=disks.row.attempt, step=60, path="attempts/later", saved_at=timezone.now()
    )
    assert transfers.clean_up(disks.nodes["b"], disks.dirs["b"]) == 1
    assert not path.exists() and not CheckpointCopy.objects.exists()


def test_a_copy_counts_as_a_place_of_the_checkpoint(disks):
    disks.write({"a.bin": b"x" * 700})
    disks.run()
    Node.objects.filter(id=disks.nodes["a"].id).update(heartbeat_at=None)
    location = locations.locate_job(disks.row.attempt.job_id)
    assert [holder.name for holder in location.reachable] == ["b"]

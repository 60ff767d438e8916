"""From an assigned attempt to a running supervisor: the attempt directory, then a process that outlives us."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from engine import procfs
from engine.directory import AttemptDirectory, Control, Placement, Seat, newest_in
from engine.spec import grid
from engine.spec.spec import Spec, parse
from engine.supervisor.supervise import start_cold
from jobs import datasets
from jobs.agent import address
from jobs.attempts.shared import shared_checkpoints
from jobs.lifecycle.transitions import move_attempt, move_job, move_member
from jobs.models import Attempt, AttemptNode, Device, Event, Job, Node
from jobs.queue import initial_weights
from jobs.states.jobs import AttemptState, JobState, MemberState


class LaunchError(Exception):
    """The supervisor cannot be started; the message says why."""


@dataclass
class Launched:
    """A supervisor that we started: enough to see it die before it has written a word."""

    pid: int
    started_ticks: float
    child: subprocess.Popen[bytes] | None = None  # only of a cold start, to be reaped

    @property
    def is_alive(self) -> bool:
        if self.child is not None and self.child.poll() is not None:
            return False
        return procfs.is_alive(self.pid, self.started_ticks)


WarmStart = Callable[[Path], int | None]  # the attempt's folder -> pid, or None while no warm parent is ready


def prepare(attempt: Attempt, node_dir: Path, lease_until: float) -> AttemptDirectory | None:
    """Write the directory and take the attempt over (assigned -> starting). None: somebody else was first.
    Raises LaunchError when the folder cannot be written."""
    spec, resume_from = parse(attempt.job.spec), newest_checkpoint(attempt)
    if resume_from is None:
        _refuse_missing_start(attempt.job)
    bring_data(spec)
    placement = place(attempt, spec, node_dir, resume_from)
    directory = write_directory(attempt, spec, placement, node_dir, lease_until, "run")
    return directory if _take_over(attempt, directory, placement, resume_from) else None


def prepare_part(part: AttemptNode, node_dir: Path, lease_until: float) -> AttemptDirectory | None:
    """As `prepare`, for this node's ranks of an attempt over several: the supervisor will hold the devices and wait."""
    attempt = part.attempt
    spec = parse(attempt.job.spec)
    bring_data(spec)
    whole = place(attempt, spec, node_dir, None)
    mine = set(attempt.leases.filter(device__node_id=part.node_id).values_list("rank", flat=True))
    devices = list(Device.objects.filter(leases__attempt=attempt, node_id=part.node_id))
    placement = msgspec.structs.replace(
        whole, node=part.node_id, address=address.of_this_node(), master_addr="",
        seats=tuple(seat for seat in whole.seats if seat.rank in mine),
        threads_per_rank=threads_per_rank(part.node, devices),
    )  # fmt: skip
    directory = write_directory(attempt, spec, placement, node_dir, lease_until, "prepare")
    fields: dict[str, Any] = {
        "directory": str(directory.path),
        "address": placement.address,
        "began_at": timezone.now(),
    }
    if not move_member(part.id, MemberState.PREPARING, actor=f"agent:{part.node.name}", **fields):
        return None
    return directory


def bring_data(spec: Spec) -> None:
    """The data set that a spec names, onto this node's disk. Raises LaunchError."""
    try:
        datasets.fetch_dataset(spec.data.corpus, Path(settings.DATA_DIR))
    except datasets.FetchError as error:
        raise LaunchError(str(error)) from None


def write_directory(
    attempt: Attempt, spec: Spec, placement: Placement, node_dir: Path, lease_until: float, control: Control
) -> AttemptDirectory:
    """Raises LaunchError when the folder cannot be written."""
    directory = AttemptDirectory(node_dir / "attempts" / f"{attempt.job_id}-{attempt.number}")
    shared = shared_checkpoints(attempt)
    try:
        directory.create(
            spec, placement, attempt.job.plan, lease_until, control=control, shared_checkpoints=shared
        )
    except OSError as error:
        raise LaunchError(f"The attempt's folder cannot be written: {error}.") from None
    return directory


def start(directory: AttemptDirectory, warm_start: WarmStart) -> Launched:
    """The supervisor, forked from the warm parent if one is ready. Raises LaunchError."""
    pid = warm_start(directory.path)
    if pid is not None:
        found = procfs.stat(pid)
        return Launched(pid, found.started_ticks if found else 0.0)
    try:
        child = start_cold(directory)
    except OSError as error:
        raise LaunchError(f"The supervisor cannot be started: {error}.") from None
    found = procfs.stat(child.pid)
    return Launched(child.pid, found.started_ticks if found else 0.0, child)


def place(attempt: Attempt, spec: Spec, node_dir: Path, resume_from: Path | None) -> Placement:
    """Ranks on the leased devices, each at its place of the grid."""
    leases = list(attempt.leases.filter(is_active=True).select_related("device").order_by("rank"))
    seen, places = Counter[str](), grid.places(spec.parallel)
    local_ranks = [_next(seen, lease.device.node_id) for lease in leases]
    seats = tuple(
        Seat(
            rank=lease.rank,
            local_rank=local_rank,
            device=lease.device_id,
            device_kind="cuda" if lease.device.kind == "cuda" else "cpu",
            device_index=lease.device.index,
            data_rank=places[lease.rank].data_rank,
            stage=places[lease.rank].stage,
            tensor_rank=places[lease.rank].tensor_rank,
        )
        for lease, local_rank in zip(leases, local_ranks, strict=True)
    )
    return Placement(
        job=attempt.job_id,
        run=attempt.job.run.id,
        attempt=attempt.number,
        node=attempt.node_id,
        world_size=spec.parallel.world_size,
        master_addr="127.0.0.1",
        master_port=0,
        seats=seats,
        threads_per_rank=threads_per_rank(attempt.node, [lease.device for lease in leases]),
        lock_dir=str(node_dir / "locks"),
        data_dir=str(settings.DATA_DIR),
        corpus_root=str(settings.CORPUS_ROOT),
        resume_from=str(resume_from) if resume_from else None,
        halt_at_step=attempt.job.halt_at_step,
        start_from=str(initial_weights.path_for_job(attempt.job) or "") or None,
        start_title=initial_weights.title_for_job(attempt.job),
    )


def _refuse_missing_start(job: Job) -> None:
    """Raises LaunchError where the first weights cannot be read on this node: no attempt here could begin."""
    path = initial_weights.path_for_job(job)
    if path is not None and not path.is_dir():
        raise LaunchError(
            f"{initial_weights.title_for_job(job)} cannot be started from here: there is no folder {path}."
        )


def _next(seen: Counter[str], node_id: str) -> int:
    seen[node_id] += 1
    return seen[node_id] - 1


def threads_per_rank(node: Node, devices: list[Device]) -> int:
    """The cores of the smallest share; beside GPUs, an equal share of the node's cores."""
    allotted = [device.cores for device in devices if device.cores]
    if allotted:
        return max(1, int(min(allotted)))
    cores = node.facts.get("cores")
    return max(1, int(cores) // max(1, node.devices.filter(is_present=True).count())) if cores else 1


def newest_checkpoint(attempt: Attempt) -> Path | None:
    """The complete checkpoint of the highest step among the job's earlier attempts on this node, or in the folder that
    nodes share. One that lies on another node cannot be read from here: that is said, since steps are lost by it."""
    found: list[Path] = []
    for earlier in Attempt.objects.filter(job_id=attempt.job_id, number__lt=attempt.number).exclude(
        directory=""
    ):
        shared = shared_checkpoints(earlier)
        if shared is not None and shared.is_dir():
            newest = newest_in(shared)
            found += [newest] if newest else []
        elif earlier.node_id == attempt.node_id:
            newest = AttemptDirectory(earlier.directory).newest_checkpoint()
            found += [newest] if newest else []
        elif earlier.checkpoint:
            _say_unreachable(attempt, earlier)
    return max(found, key=lambda path: path.name, default=None)


@transaction.atomic
def _take_over(
    attempt: Attempt, directory: AttemptDirectory, placement: Placement, resume_from: Path | None
) -> bool:
    fields: dict[str, Any] = {
        "directory": str(directory.path),
        "placement": msgspec.to_builtins(placement),
        "resumed_from": str(resume_from or ""),
        "started_at": timezone.now(),
    }
    actor = f"agent:{attempt.node.name}"
    if not move_attempt(attempt.id, AttemptState.STARTING, actor=actor, **fields):
        return False
    if not move_job(attempt.job_id, JobState.STARTING, actor=actor, attempt=attempt.number):
        transaction.set_rollback(True)
        return False
    for name, value in fields.items():
        setattr(attempt, name, value)
    attempt.state = AttemptState.STARTING
    return True


def _say_unreachable(attempt: Attempt, earlier: Attempt) -> None:
    text = (
        f"The checkpoint at step {earlier.checkpoint_step} of attempt {earlier.number} lies on another node."
    )
    Event.objects.create(
        job_id=attempt.job_id, attempt_number=attempt.number, actor="agent", kind="note.warning", text=text
    )

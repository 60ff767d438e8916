"""Launch of an assigned attempt: its directory, then its supervisor.

The supervisor outlives the agent.
"""

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

from engine.directory import AttemptDirectory, Control, Placement, RankSeat
from engine.spec import grid
from engine.spec.spec import Spec, parse
from engine.supervisor.supervise import start_cold
from fourwalls.system import procfs
from jobs import datasets
from jobs.agent import address, disk_space, resuming
from jobs.agent.resuming import Sources
from jobs.attempts.shared import shared_checkpoints
from jobs.ledger import build_ledger
from jobs.lifecycle.transitions import move_attempt, move_attempt_node, move_job
from jobs.models import Attempt, AttemptNode, Device, Node
from jobs.nodes import folders
from jobs.planning import plans
from jobs.queue import initial_weights
from jobs.states.jobs import AttemptNodeState, AttemptState, Cause, JobState


class LaunchError(Exception):
    """The supervisor cannot be started. The message gives the reason, `cause` whose fault it is."""

    def __init__(self, message: str, cause: Cause = Cause.LAUNCH) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass
class Launched:
    """A supervisor started by this agent, whose death is noticed even before it writes its first state."""

    pid: int
    started_ticks: float
    child: subprocess.Popen[bytes] | None = None  # only after a cold start, so that it is reaped

    @property
    def is_alive(self) -> bool:
        if self.child is not None and self.child.poll() is not None:
            return False
        return procfs.is_alive(self.pid, self.started_ticks)


# The attempt's folder -> pid of its supervisor; None if no fork server is ready
ForkSupervisor = Callable[[Path], int | None]


def prepare(attempt: Attempt, node_dir: Path, lease_until: float) -> AttemptDirectory | None:
    """Write the attempt's directory and claim the attempt (assigned -> starting).

    Returns None if another process moved the attempt first. Raises LaunchError if the initial weights or the data are
    not available here, or if the folder cannot be written; CheckpointPending and CheckpointAway as `find_sources`.
    """
    sources = find_sources(attempt, attempt.node, node_dir)
    spec = parse(attempt.job.spec)
    _check_disk(spec, node_dir, sources)
    fetch_data(spec)
    placement = build_placement(attempt, spec, node_dir, sources)
    directory = write_directory(attempt, spec, placement, node_dir, lease_until, "run")
    return directory if _claim(attempt, directory, placement, node_dir) else None


def find_sources(attempt: Attempt, node: Node, node_dir: Path, *, is_gang: bool = False) -> Sources:
    """Return what the attempt starts from, as resuming.find_sources. Raises LaunchError for missing initial weights."""
    try:
        sources = resuming.find_sources(attempt, node, node_dir, is_gang=is_gang)
    except resuming.UnusableWeights as error:
        raise LaunchError(str(error)) from None
    path = sources.start_from
    if path is not None and not path.is_dir():
        title = initial_weights.title_for_job(attempt.job)
        raise LaunchError(f"{title} cannot be started from here: there is no folder {path}.")
    return sources


def prepare_attempt_node(
    attempt_node: AttemptNode, node_dir: Path, lease_until: float
) -> AttemptDirectory | None:
    """Prepare this node's ranks of a multi-node attempt, as `prepare` does for a whole attempt.

    The supervisor will lock the devices and wait for the other nodes.
    """
    attempt = attempt_node.attempt
    sources = find_sources(attempt, attempt_node.node, node_dir, is_gang=True)
    spec = parse(attempt.job.spec)
    _check_disk(spec, node_dir, sources)
    fetch_data(spec)
    full_placement = build_placement(attempt, spec, node_dir, Sources(start_from=sources.start_from))
    own_ranks = set(
        attempt.leases.filter(device__node_id=attempt_node.node_id).values_list("rank", flat=True)
    )
    devices = list(Device.objects.filter(leases__attempt=attempt, node_id=attempt_node.node_id))
    placement = msgspec.structs.replace(
        full_placement, node=attempt_node.node_id, address=address.get_node_address(), master_addr="",
        seats=tuple(seat for seat in full_placement.seats if seat.rank in own_ranks),
        threads_per_rank=threads_per_rank(attempt_node.node, devices),
    )  # fmt: skip
    directory = write_directory(attempt, spec, placement, node_dir, lease_until, "prepare")
    fields: dict[str, Any] = {
        "directory": folders.relative_path(directory.path, node_dir),
        "address": placement.address,
        "began_at": timezone.now(),
    }
    if not move_attempt_node(
        attempt_node.id, AttemptNodeState.PREPARING, actor=f"agent:{attempt_node.node.name}", **fields
    ):
        return None
    return directory


def fetch_data(spec: Spec) -> None:
    """Copy the data set that the spec names to this node's disk. Raises LaunchError."""
    try:
        datasets.fetch_dataset(spec.data.corpus, Path(settings.DATA_DIR))
    except datasets.FetchError as error:
        raise LaunchError(str(error)) from None


def _check_disk(spec: Spec, node_dir: Path, sources: Sources) -> None:
    """Raise LaunchError if the checkpoints will not fit: the job asks for too much, the node is well."""
    try:
        disk_space.refuse_full_disk(spec, node_dir, sources.resume_from)
    except disk_space.DiskTooSmall as error:
        raise LaunchError(str(error), Cause.WORKLOAD) from None


def write_directory(
    attempt: Attempt, spec: Spec, placement: Placement, node_dir: Path, lease_until: float, control: Control
) -> AttemptDirectory:
    """Create and return the attempt's directory. Raises LaunchError if it cannot be written."""
    directory = AttemptDirectory(node_dir / folders.attempt_path(attempt))
    shared = shared_checkpoints(attempt)
    profile = plans.get_profile(attempt.job.pool)
    try:
        directory.create(
            spec, placement, attempt.job.plan, lease_until, control=control, shared_checkpoints=shared,
            profile=profile.to_json() if profile else None,
        )  # fmt: skip
    except OSError as error:
        raise LaunchError(f"The attempt's folder cannot be written: {error}.") from None
    return directory


def start(directory: AttemptDirectory, fork_supervisor: ForkSupervisor) -> Launched:
    """Start the supervisor: forked by the fork server if it is ready, else as a new process. Raises LaunchError."""
    pid = fork_supervisor(directory.path)
    if pid is not None:
        found = procfs.stat(pid)
        return Launched(pid, found.started_ticks if found else 0.0)
    try:
        child = start_cold(directory)
    except OSError as error:
        raise LaunchError(f"The supervisor cannot be started: {error}.") from None
    found = procfs.stat(child.pid)
    return Launched(child.pid, found.started_ticks if found else 0.0, child)


def build_placement(attempt: Attempt, spec: Spec, node_dir: Path, sources: Sources) -> Placement:
    """Place the ranks on the leased devices, each with its position in the parallel grid."""
    leases = list(attempt.leases.filter(is_active=True).select_related("device").order_by("rank"))
    counts, positions = Counter[str](), grid.rank_coordinates(spec.parallel)
    local_ranks = [_next_local_rank(counts, lease.device.node_id) for lease in leases]
    seats = tuple(
        RankSeat(
            rank=lease.rank,
            local_rank=local_rank,
            device=lease.device_id,
            device_kind="cuda" if lease.device.kind == "cuda" else "cpu",
            device_index=lease.device.index,
            data_rank=positions[lease.rank].data_rank,
            stage=positions[lease.rank].stage,
            tensor_rank=positions[lease.rank].tensor_rank,
            device_name=str(lease.device),
            memory_bytes=lease.device.memory_bytes,
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
        resume_from=str(sources.resume_from) if sources.resume_from else None,
        older_checkpoints=tuple(map(str, sources.older)),
        halt_at_step=attempt.job.halt_at_step,
        start_from=str(sources.start_from) if sources.start_from else None,
        start_title=initial_weights.title_for_job(attempt.job),
        queued_s=_get_queued_s(attempt),
        assigned_at=attempt.assigned_at.timestamp(),
    )


def _get_queued_s(attempt: Attempt) -> float:
    found = build_ledger(attempt.job.run)
    return found.waited_s.get("queued", 0.0) if found else 0.0


def _next_local_rank(counts: Counter[str], node_id: str) -> int:
    counts[node_id] += 1
    return counts[node_id] - 1


def threads_per_rank(node: Node, devices: list[Device]) -> int:
    """Return the cores of the smallest CPU device; for GPUs, an equal share of the node's cores."""
    allotted = [device.cores for device in devices if device.cores]
    if allotted:
        return max(1, int(min(allotted)))
    cores = node.facts.get("cores")
    return max(1, int(cores) // max(1, node.devices.filter(is_present=True).count())) if cores else 1


@transaction.atomic
def _claim(attempt: Attempt, directory: AttemptDirectory, placement: Placement, node_dir: Path) -> bool:
    source = placement.resume_from
    fields: dict[str, Any] = {
        "directory": folders.relative_path(directory.path, node_dir),
        "placement": msgspec.to_builtins(placement),
        "resumed_from": folders.relative_path(Path(source), node_dir) if source else "",
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

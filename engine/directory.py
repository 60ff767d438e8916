"""Attempt directory: the files that agent, supervisor, ranks, readers share.

    spec.json        the frozen spec
    plan.json        the plan made before the start
    profile.json     HardwareProfile of the devices, as known before the start; missing if nothing was known
    placement.json   Placement: the seat of each rank, and the checkpoint to resume from
    control          'prepare', 'run', 'stop' or 'abort', written by the agent, read by the supervisor
    lease            unix time of its end, renewed by the agent; once it has expired the supervisor stops the ranks
    state.json       SupervisorState, written only by the supervisor, replaced atomically
    heartbeat<r>     written by rank r at every step (engine.telemetry.heartbeat), read by the supervisor
    spool/           *.jsonl, one writer per file, lines as in engine.telemetry.wire
    log/             rank<r>.log (stdout and stderr of a rank), supervisor.log
    checkpoints/     step-00000100/ ..., complete once it has a manifest.json; a link if nodes share a folder
    trace/           request.json (TraceRequest), written by the agent; traces, written by the ranks

Every file except spool and log is replaced by rename, so a reader never sees a partial file.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

from engine.small_files import write_atomically, write_small

if TYPE_CHECKING:
    from engine.spec.spec import Spec

AttemptState = Literal["starting", "armed", "running", "succeeded", "stopped", "failed"]
# prepare: lock the devices and wait for the other nodes; stop: at a step boundary; abort: at once, since the attempt
# has ended on another node.
Control = Literal["prepare", "run", "stop", "abort"]
CONTROLS: tuple[Control, ...] = ("prepare", "run", "stop", "abort")

# Why an attempt ended, for programs; the reason is the text for people.
Cause = Literal[
    "",  # it has not ended
    "done",  # every rank reached the end
    "workload",  # a rank failed because of the job itself
    "hung",  # no rank made progress
    "time_limit",  # the ranks ended at a step boundary because of the spec's time limit
    "stopped",  # stopped on request
    "agent_silent",  # the lease expired
    "device_held",  # a process of an earlier attempt held a device
    "supervisor",  # the supervisor failed, or was killed
]

TRACE_STEPS = 10  # limit of one request
TRACE_BYTES = 32 * 2**20  # limit of a rank's compressed trace; a browser needs too long to open a larger one

EXIT_STOPPED = 75  # the rank ended at a step boundary on request
EXIT_LATE = 77  # the rank ended at a step boundary because of the spec's time limit
STEP_BOUNDARY_EXITS = (0, EXIT_STOPPED, EXIT_LATE)


class RankSeat(msgspec.Struct, frozen=True):
    """Device and grid position of one rank. `device` is its stable id, `device_index` its number on the node."""

    rank: int
    local_rank: int
    device: str
    device_kind: Literal["cpu", "cuda"]
    device_index: int
    data_rank: int
    stage: int
    tensor_rank: int = 0
    device_name: str = ""  # for people
    memory_bytes: int | None = None  # of the device


class Placement(msgspec.Struct, frozen=True):
    """The ranks of an attempt on this node, and everything else that they need and the spec does not have."""

    job: str
    run: str
    attempt: int
    node: str
    world_size: int
    master_addr: str
    master_port: int  # 0: the supervisor picks a free one
    seats: tuple[RankSeat, ...]  # of this node; fewer than world_size if the attempt has several nodes
    threads_per_rank: int
    lock_dir: str  # one lock file per device, locked by the supervisor and inherited by its ranks
    data_dir: str  # cache of prepared corpora
    corpus_root: str  # the only folder with text files that a spec may name
    resume_from: str | None = None  # a complete checkpoint folder, of an earlier attempt or another run
    halt_at_step: int | None = None  # the ranks end at this step boundary as if stopped on request
    address: str = "127.0.0.1"  # address of this node for the other nodes of the attempt
    start_from: str | None = None  # a checkpoint or a Hugging Face folder with the initial weights
    start_title: str = ""  # name of start_from in messages
    # Complete checkpoints of earlier attempts, newest first: tried in turn if resume_from is damaged, after the older
    # ones in its own folder.
    older_checkpoints: tuple[str, ...] = ()
    queued_s: float = 0.0  # that the job has waited in the queue so far
    assigned_at: float | None = (
        None  # since when the attempt has held its devices; None: since its supervisor started
    )

    @property
    def has_other_nodes(self) -> bool:
        return len(self.seats) < self.world_size


class RankExit(msgspec.Struct, frozen=True):
    """A rank process with its exit code."""

    rank: int
    pid: int
    exit_code: int | None = None  # None while alive; negative for a signal


class SupervisorState(msgspec.Struct, frozen=True):
    """State of an attempt on this node. A terminal state always has a reason as a sentence."""

    state: AttemptState
    pid: int  # of the supervisor
    # Start time of the pid in clock ticks since boot (/proc/<pid>/stat field 22), to detect a reused pid.
    pid_started: float
    started_at: float
    updated_at: float
    ranks: tuple[RankExit, ...] = ()
    reason: str = ""
    cause: Cause = ""
    stderr_tail: tuple[str, ...] = ()  # last lines of the rank that failed first
    ended_at: float | None = None
    master_port: int = 0  # in state 'armed' (prepared), on the node of rank 0: the reserved rendezvous port
    # The ranks failed only because ranks on another node had ended.
    is_secondary_failure: bool = msgspec.field(default=False, name="is_witness")

    @property
    def is_terminal(self) -> bool:
        return self.state in ("succeeded", "stopped", "failed")


class TraceRequest(msgspec.Struct, frozen=True):
    """Request to trace the next `steps` steps on each of `ranks`. `number` increases with every request."""

    number: int
    steps: int
    ranks: tuple[int, ...]

    NAME: ClassVar[str] = "request.json"


class AttemptDirectory:
    """Names and formats of everything in one attempt directory."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.spool = self.path / "spool"
        self.log = self.path / "log"
        self.checkpoints = self.path / "checkpoints"
        self.trace = self.path / "trace"

    def create(
        self,
        spec: Spec,
        placement: Placement,
        plan: dict[str, Any],
        lease_until: float,
        *,
        control: Control = "run",
        shared_checkpoints: Path | None = None,
        profile: dict[str, Any] | None = None,
    ) -> None:
        """Write everything the supervisor needs; checkpoints go to `shared_checkpoints` if that is given.

        Raises OSError (disk full, not writable).
        """
        for folder in (self.path, self.spool, self.log, self.trace):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shared_checkpoints is None:
            self.checkpoints.mkdir(exist_ok=True, mode=0o700)
        elif not self.checkpoints.is_symlink():
            shared_checkpoints.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.checkpoints.symlink_to(shared_checkpoints, target_is_directory=True)
        write_atomically(self.path / "spec.json", json.dumps(spec.model_dump(), indent=1).encode())
        write_atomically(self.path / "plan.json", json.dumps(plan, indent=1).encode())
        if profile is not None:
            write_atomically(self.path / "profile.json", json.dumps(profile, indent=1).encode())
        self.write_placement(placement)
        self.write_control(control)
        self.write_lease(lease_until)

    def read_spec(self) -> Spec:
        # Imported here: a supervisor reads no spec, and pydantic would take half of its start time.
        from engine.spec.spec import parse

        return parse(json.loads((self.path / "spec.json").read_bytes()))

    def read_profile(self) -> dict[str, Any] | None:
        """Return the profile of the devices; None if there is none, or if it cannot be read."""
        try:
            found = json.loads((self.path / "profile.json").read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def read_placement(self) -> Placement:
        return msgspec.json.decode((self.path / "placement.json").read_bytes(), type=Placement)

    def write_placement(self, placement: Placement) -> None:
        write_atomically(self.path / "placement.json", msgspec.json.encode(placement))

    def write_control(self, wanted: Control) -> None:
        write_small(self.path / "control", wanted.encode())

    def read_control(self) -> Control:
        """Return the control word; 'run' if the file is missing or has another content."""
        try:
            text = (self.path / "control").read_bytes().strip().decode("ascii", "replace")
        except FileNotFoundError:
            return "run"
        return next((control for control in CONTROLS if control == text), "run")

    def write_lease(self, until: float) -> OSError | None:
        """Renew the lease, on a full disk too; return the error of a full disk.

        Raises OSError if the file cannot be overwritten either (read-only, folder removed).
        """
        return write_small(self.path / "lease", f"{until:.3f}".encode())

    def read_lease(self) -> float | None:
        try:
            return float((self.path / "lease").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def request_trace(self, request: TraceRequest) -> None:
        write_atomically(self.trace / TraceRequest.NAME, msgspec.json.encode(request))

    def read_trace_request(self) -> TraceRequest | None:
        """Return the newest trace request; None if there is none."""
        try:
            return msgspec.json.decode((self.trace / TraceRequest.NAME).read_bytes(), type=TraceRequest)
        except (OSError, msgspec.MsgspecError):
            return None

    def write_state(self, state: SupervisorState) -> None:
        write_atomically(self.path / "state.json", msgspec.json.encode(state))

    def read_state(self) -> SupervisorState | None:
        """Return the state; None before the supervisor has written it."""
        try:
            return msgspec.json.decode((self.path / "state.json").read_bytes(), type=SupervisorState)
        except FileNotFoundError:
            return None

    def newest_checkpoint(self) -> Path | None:
        """Return the complete checkpoint of the highest step, or None."""
        return find_newest_checkpoint(self.checkpoints.resolve())


def find_newest_checkpoint(checkpoints: Path) -> Path | None:
    """Return the complete checkpoint of the highest step in a folder of checkpoints, or None."""
    return next(iter(find_checkpoints(checkpoints)), None)


def find_checkpoints(checkpoints: Path) -> list[Path]:
    """Return the complete checkpoints in a folder, the highest step first. Whether they are sound is not read."""
    found = {
        manifest.parent: step
        for manifest in checkpoints.glob("step-*/manifest.json")
        if (step := checkpoint_step(manifest.parent.name)) is not None
    }
    return sorted(found, key=lambda path: found[path], reverse=True)


def checkpoint_name(step: int) -> str:
    return f"step-{step:08d}"


def checkpoint_step(path: str) -> int | None:
    """Return the step in the name or path of a checkpoint; None for any other text."""
    found = re.search(r"(?:^|/)step-(\d+)/?$", path)
    return int(found.group(1)) if found else None

"""The attempt directory: the one contract between agent, supervisor, ranks and readers.

    spec.json        the frozen spec
    plan.json        what the planner said before the start
    placement.json   Placement: which rank sits where, and what to resume from
    control          'prepare', 'run', 'stop' or 'abort', written by the agent, read by the supervisor
    lease            unix time until which the agent vouches for this attempt; past it the supervisor stops the ranks
    state.json       State, written by the supervisor only, replaced atomically
    heartbeat<r>     written by rank r at every step (engine.telemetry.heartbeat), watched by the supervisor
    spool/           *.jsonl, one writer per file, lines as in engine.telemetry.wire
    log/             rank<r>.log (stdout and stderr of a rank), supervisor.log
    checkpoints/     step-00000100/ ..., complete once manifest.json stands in it; a link where nodes share a folder
    trace/           request.json (TraceRequest), written by the agent; profiles, written by the ranks

Every file but spool and log is replaced by rename, so a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

if TYPE_CHECKING:
    from engine.spec.spec import Spec

AttemptState = Literal["starting", "armed", "running", "succeeded", "stopped", "failed"]
# prepare: hold the devices and wait for the other nodes; stop: at a step border; abort: at once, the gang is broken
Control = Literal["prepare", "run", "stop", "abort"]
CONTROLS: tuple[Control, ...] = ("prepare", "run", "stop", "abort")

# Why an attempt ended, for programs; the reason says it to people.
Cause = Literal[
    "",  # it has not ended
    "done",  # every rank reached the end
    "workload",  # a rank failed: the job's own doing
    "hung",  # no rank made progress any more
    "time_limit",  # the ranks ended at a step border because the time of the spec was up
    "stopped",  # asked to stop
    "agent_silent",  # the lease ran out
    "device_held",  # something of an earlier attempt was still on a device
    "supervisor",  # the supervisor failed, or was killed
]

TRACE_STEPS = 10  # of one request, at most
TRACE_BYTES = 32 * 2**20  # of one rank's profile, packed: a browser opens no larger one in reasonable time

EXIT_STOPPED = 75  # a rank that ended at a step border because it was asked to
EXIT_LATE = 77  # a rank that ended at a step border because the time of its spec was up
BORDER_EXITS = (0, EXIT_STOPPED, EXIT_LATE)


class Seat(msgspec.Struct, frozen=True):
    """Where one rank sits. `device` is the device's stable id; `device_index` its number on the node."""

    rank: int
    local_rank: int
    device: str
    device_kind: Literal["cpu", "cuda"]
    device_index: int
    data_rank: int
    stage: int
    tensor_rank: int = 0


class Placement(msgspec.Struct, frozen=True):
    """One attempt's ranks on this node, and everything else they need that is not in the spec."""

    job: str
    run: str
    attempt: int
    node: str
    world_size: int
    master_addr: str
    master_port: int  # 0: the supervisor picks a free one
    seats: tuple[Seat, ...]  # of this node; fewer than world_size where the ranks sit on several nodes
    threads_per_rank: int
    lock_dir: str  # one lock file per device, flocked by the supervisor and inherited by its ranks
    data_dir: str  # prepared corpora are cached here
    corpus_root: str  # the only folder from which a spec may name its own text files
    resume_from: str | None = None  # a complete checkpoint folder, of an earlier attempt or another run
    halt_at_step: int | None = None  # the ranks end at this step border as if they were asked to stop
    address: str = "127.0.0.1"  # of this node, as the other nodes of the attempt reach it
    start_from: str | None = None  # a checkpoint or a Hugging Face folder: weights to begin with
    start_title: str = ""  # and what people call it

    @property
    def has_other_nodes(self) -> bool:
        return len(self.seats) < self.world_size


class RankExit(msgspec.Struct, frozen=True):
    rank: int
    pid: int
    exit_code: int | None = None  # None while alive; negative: killed by that signal


class State(msgspec.Struct, frozen=True):
    """What the supervisor knows. A terminal state always has a reason, one sentence for people."""

    state: AttemptState
    pid: int  # of the supervisor
    pid_started: (
        float  # its start time in clock ticks since boot (/proc/<pid>/stat field 22), against pid reuse
    )
    started_at: float
    updated_at: float
    ranks: tuple[RankExit, ...] = ()
    reason: str = ""
    cause: Cause = ""
    stderr_tail: tuple[str, ...] = ()  # last lines of the rank that failed first
    ended_at: float | None = None
    master_port: int = 0  # while armed, on the node of rank 0: where the ranks may meet
    is_witness: bool = False  # failed only because ranks elsewhere had gone

    @property
    def is_terminal(self) -> bool:
        return self.state in ("succeeded", "stopped", "failed")


class TraceRequest(msgspec.Struct, frozen=True):
    """Which steps shall be profiled: the next `steps` ones, by each of `ranks`. `number` grows with every request."""

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
    ) -> None:
        """Write everything the supervisor needs. Checkpoints go to `shared_checkpoints` where that is given.
        Raises OSError (disk full, not writable)."""
        for folder in (self.path, self.spool, self.log, self.trace):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shared_checkpoints is None:
            self.checkpoints.mkdir(exist_ok=True, mode=0o700)
        elif not self.checkpoints.is_symlink():
            shared_checkpoints.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.checkpoints.symlink_to(shared_checkpoints, target_is_directory=True)
        write_atomically(self.path / "spec.json", json.dumps(spec.model_dump(), indent=1).encode())
        write_atomically(self.path / "plan.json", json.dumps(plan, indent=1).encode())
        self.write_placement(placement)
        self.write_control(control)
        self.write_lease(lease_until)

    def read_spec(self) -> Spec:
        # Here and not above: pydantic would be half of a supervisor's start, and a supervisor reads no spec.
        from engine.spec.spec import parse

        return parse(json.loads((self.path / "spec.json").read_bytes()))

    def read_placement(self) -> Placement:
        return msgspec.json.decode((self.path / "placement.json").read_bytes(), type=Placement)

    def write_placement(self, placement: Placement) -> None:
        write_atomically(self.path / "placement.json", msgspec.json.encode(placement))

    def write_control(self, wanted: Control) -> None:
        write_atomically(self.path / "control", wanted.encode())

    def read_control(self) -> Control:
        """'run' while the file is missing: a stop is only ever said outright."""
        try:
            said = (self.path / "control").read_bytes().strip().decode("ascii", "replace")
        except FileNotFoundError:
            return "run"
        return next((control for control in CONTROLS if control == said), "run")

    def write_lease(self, until: float) -> None:
        write_atomically(self.path / "lease", f"{until:.3f}".encode())

    def read_lease(self) -> float | None:
        try:
            return float((self.path / "lease").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def ask_for_trace(self, request: TraceRequest) -> None:
        write_atomically(self.trace / TraceRequest.NAME, msgspec.json.encode(request))

    def read_trace_request(self) -> TraceRequest | None:
        """None while nobody has asked."""
        try:
            return msgspec.json.decode((self.trace / TraceRequest.NAME).read_bytes(), type=TraceRequest)
        except (OSError, msgspec.MsgspecError):
            return None

    def write_state(self, state: State) -> None:
        write_atomically(self.path / "state.json", msgspec.json.encode(state))

    def read_state(self) -> State | None:
        """None while no supervisor has reported."""
        try:
            return msgspec.json.decode((self.path / "state.json").read_bytes(), type=State)
        except FileNotFoundError:
            return None

    def newest_checkpoint(self) -> Path | None:
        """The complete checkpoint of the highest step, or None."""
        return newest_in(self.checkpoints.resolve())


def newest_in(checkpoints: Path) -> Path | None:
    """The complete checkpoint of the highest step in a folder of them, or None."""
    complete = [manifest.parent for manifest in checkpoints.glob("step-*/manifest.json")]
    return max(complete, key=lambda path: path.name, default=None)


def checkpoint_name(step: int) -> str:
    return f"step-{step:08d}"


def step_of_checkpoint(path: str) -> int | None:
    """The step in a checkpoint's name or path; None for anything else."""
    found = re.search(r"step-(\d+)/?$", path)
    return int(found.group(1)) if found else None


def write_atomically(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)

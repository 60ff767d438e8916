"""The agent's loop: one look at everything it is responsible for, a few times a second."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.db.models.functions import Now

from engine import procfs
from engine.directory import AttemptDirectory, Control
from engine.supervisor.cleanup import kill_tagged
from jobs.agent import attempt_node, forkserver, launch
from jobs.agent.follow import follow
from jobs.agent.launch import Launched, LaunchError
from jobs.agent.probing import Prober
from jobs.agent.subprocesses import Keeper
from jobs.attempts import checkpoints, logs, traces
from jobs.lifecycle.ending import end
from jobs.models import Attempt, AttemptNode, Node
from jobs.nodes import admin, device_faults, inventory, node_faults
from jobs.scheduler import gangs
from jobs.states.jobs import ATTEMPT_LIVE, MEMBER_LIVE, AttemptState, Cause, MemberState

log = logging.getLogger(__name__)

BUSY_TICK_S = 0.2
IDLE_TICK_S = 0.5  # the doorbell cuts it short
ERROR_PAUSE_S = 2.0
BEAT_EVERY_S = 5.0
STRAYS_EVERY_S = 10.0
LOGS_EVERY_S = 2.0
LEAVE_LIMIT_S = 30.0
MARGIN_SHARE = 0.1  # of the reassign time, for a slow machine


def lease_s() -> float:
    """How long a supervisor runs on without a heartbeat. When it is over, the ranks still get their grace, and all of
    it must have passed before the scheduler gives the devices to somebody else."""
    return (1 - MARGIN_SHARE) * settings.REASSIGN_AFTER_S - settings.STOP_GRACE_S


@dataclass
class Agent:
    """What one agent remembers; all of it can be found again after kill -9."""

    node: Node
    node_dir: Path
    bell: threading.Event = field(default_factory=threading.Event)
    keepers: list[Keeper] = field(default_factory=list)
    warm_parent: Keeper | None = None  # one of the keepers
    why_stopping: str = ""  # set while the agent stops its attempts itself
    _launched: dict[int, Launched] = field(default_factory=dict)
    _beat_at: float = 0.0
    _mirrored_at: float = 0.0
    _strays_at: float = 0.0
    _logs_at: float = 0.0
    _vouched_until: float = 0.0  # unix time up to which a successful heartbeat lets us vouch for our attempts
    _leases: dict[int, float] = field(default_factory=dict)
    _ended: set[Path] = field(default_factory=set)
    _live: dict[int, AttemptDirectory] = field(
        default_factory=dict
    )  # of attempts with ranks here, by their id
    _devices: device_faults.Watch = field(init=False)
    _suspicion: node_faults.Watch = field(init=False)
    _prober: Prober = field(init=False)

    def __post_init__(self) -> None:
        self._devices = device_faults.Watch(self.node, self.node_dir / "locks")
        self._suspicion = node_faults.Watch(self.node, self.node_dir)
        self._prober = Prober(self.node, self.node_dir)

    def run(self, stop: threading.Event, stops_attempts: bool) -> None:
        """Until `stop` is set (ring the bell with it); then leave. Lives through any error."""
        while not stop.is_set():
            self.bell.wait(self._guarded_tick())
            self.bell.clear()
        self._prober.give_way()
        if stops_attempts:
            self._stop_attempts()
        for keeper in self.keepers:
            keeper.stop()

    def tick(self) -> int:
        """One look; returns how many attempts live."""
        for keeper in self.keepers:
            keeper.tick()
        self._beat()
        self._mirrored_at = inventory.mirror(self.node, self.node_dir, self._mirrored_at)
        self._stop_strays()
        attempts = (
            Attempt.objects.filter(node=self.node, state__in=ATTEMPT_LIVE, num_nodes=1)
            .select_related("node", "job__run")
            .order_by("id")
        )
        parts = (
            AttemptNode.objects.filter(node=self.node, state__in=MEMBER_LIVE)
            .select_related("node", "attempt__node", "attempt__job__run")
            .order_by("id")
        )
        self._prober.look(time.monotonic(), is_idle=not (attempts or parts or self.why_stopping))
        self._live.clear()
        alive = sum(self._guarded(self._attend, attempt, attempt) for attempt in attempts)
        alive += sum(self._guarded(self._attend_part, part.attempt, part) for part in parts)
        self._bring_logs()
        return alive

    def _guarded_tick(self) -> float:
        """Seconds until the next look."""
        try:
            return BUSY_TICK_S if self.tick() else IDLE_TICK_S
        except DatabaseError as error:
            log.warning("The database does not answer; attempts run on: %s", error)
        except Exception:
            log.exception("A tick of the agent failed")
        close_old_connections()
        return ERROR_PAUSE_S

    def _guarded(self, attend: Callable[[Any], bool], attempt: Attempt, row: Attempt | AttemptNode) -> bool:
        """One attempt that cannot be followed must not keep the agent from the others."""
        try:
            return attend(row)
        except DatabaseError:
            raise
        except Exception:
            log.exception("Attempt %s of job %s cannot be followed", attempt.number, attempt.job_id)
            return True

    def _attend(self, attempt: Attempt) -> bool:
        if attempt.state == AttemptState.ASSIGNED:
            return self._take(attempt)
        directory = self._live[attempt.id] = AttemptDirectory(attempt.directory)
        self._vouch(attempt.id, directory)
        is_asked = attempt.job.wanted_state or attempt.yield_reason or self.why_stopping
        if is_asked and directory.read_control() != "stop":
            directory.write_control("stop")
        is_alive = follow(attempt, self._launched.get(attempt.id), self.why_stopping)
        return is_alive or self._forget(attempt.id)

    def _attend_part(self, member: AttemptNode) -> bool:
        attempt, wanted = member.attempt, attempt_node.order(member, self.why_stopping)
        if member.state == MemberState.ASSIGNED:
            return self._take_part(member, wanted)
        directory = self._live[attempt.id] = AttemptDirectory(member.directory)
        self._vouch(attempt.id, directory)
        attempt_node.pass_on(member, directory, wanted)
        is_alive = attempt_node.follow(member, self._launched.get(attempt.id), self.why_stopping)
        return is_alive or self._forget(attempt.id)

    def _vouch(self, attempt_id: int, directory: AttemptDirectory) -> None:
        if self._leases.get(attempt_id) != self._vouched_until:
            directory.write_lease(self._vouched_until)
            self._leases[attempt_id] = self._vouched_until

    def _forget(self, attempt_id: int) -> bool:
        self._launched.pop(attempt_id, None)
        self._leases.pop(attempt_id, None)
        self._strays_at = 0.0  # it may have been refused a device that a stray of an earlier attempt holds
        return False

    @property
    def _is_warming_up(self) -> bool:
        return self.warm_parent is not None and forkserver.is_warming_up(self.warm_parent, self.node_dir)

    def _take_part(self, member: AttemptNode, wanted: Control) -> bool:
        if wanted != "prepare":
            attempt_node.withdraw(member, "never taken up")
            return False
        if self._is_warming_up:
            return True
        try:
            directory = launch.prepare_part(member, self.node_dir, self._vouched_until)
            if directory is None:
                return False
            self._launched[member.attempt_id] = launch.start(
                directory, lambda path: forkserver.start(self.node_dir, path)
            )
        except LaunchError as error:
            gangs.end_member(member, MemberState.FAILED, str(error), Cause.LAUNCH)
            return False
        return True

    def _take(self, attempt: Attempt) -> bool:
        if self.why_stopping:
            return False
        if self._is_warming_up:
            return True  # look again in a moment
        if attempt.job.wanted_state or attempt.yield_reason:
            end(attempt, AttemptState.STOPPED, "stopped before it was started", Cause.STOPPED)
            return False
        try:
            directory = launch.prepare(attempt, self.node_dir, self._vouched_until)
            if directory is None:
                return False
            self._launched[attempt.id] = launch.start(
                directory, lambda path: forkserver.start(self.node_dir, path)
            )
        except LaunchError as error:
            end(attempt, AttemptState.FAILED, str(error), Cause.LAUNCH)
            return False
        return True

    def _beat(self) -> None:
        if self.why_stopping or time.monotonic() < self._beat_at:
            return
        vouched_until = time.time() + lease_s()
        if not Node.objects.filter(id=self.node.id).update(heartbeat_at=Now()):
            self.node = inventory.register(self.node_dir)
        admin.heard(self.node)
        self._vouched_until = vouched_until
        self._beat_at = time.monotonic() + BEAT_EVERY_S
        (self.node_dir / "agent.alive").touch()

    def _stop_strays(self) -> None:
        """Supervisors of attempts that the database has given up (lost, or superseded) are told to stop; what a dead
        one has left behind is killed."""
        if time.monotonic() < self._strays_at:
            return
        self._strays_at = time.monotonic() + STRAYS_EVERY_S
        checkpoints.look_after(self.node)
        self._devices.look(time.monotonic())
        self._suspicion.look(time.monotonic())
        for path in set((self.node_dir / "attempts").glob("*")) - self._ended:
            directory = AttemptDirectory(path)
            try:
                state = directory.read_state()
            except (OSError, msgspec.MsgspecError) as error:
                log.warning("The state in %s cannot be read: %s", path, error)
                continue
            if state is None:
                continue
            if state.is_terminal:
                self._ended.add(path)
            elif not procfs.is_alive(state.pid, state.pid_started):
                self._ended.add(path)
                if killed := kill_tagged(str(path.resolve())):
                    log.warning("Killed what the dead supervisor in %s had left behind: %s", path, killed)
            elif not self._is_ours(str(path)):
                log.warning("The supervisor in %s belongs to no living attempt: it is told to stop", path)
                directory.write_control("stop")

    def _bring_logs(self) -> None:
        if time.monotonic() >= self._logs_at:
            self._logs_at = time.monotonic() + LOGS_EVERY_S
            logs.bring(self.node)
            traces.pass_on(self._live)
            traces.bring(self.node)

    def _is_ours(self, directory: str) -> bool:
        alone = Attempt.objects.filter(
            node=self.node, directory=directory, state__in=ATTEMPT_LIVE, num_nodes=1
        )
        parts = AttemptNode.objects.filter(node=self.node, directory=directory, state__in=MEMBER_LIVE)
        return alone.exists() or parts.exists()

    def _stop_attempts(self) -> None:
        """Stop what runs, at a step border and with a checkpoint, and give the jobs back to the queue."""
        self.why_stopping = "Interrupted by shutdown"
        # No new work from now on, but no attempt taken for lost while it makes its checkpoint.
        silent = settings.UNREACHABLE_AFTER_S
        self._say_heartbeat(silent)
        deadline = time.monotonic() + LEAVE_LIMIT_S
        while time.monotonic() < deadline:
            if self._guarded_tick() == IDLE_TICK_S:
                self._say_heartbeat(None)
                return
            time.sleep(BUSY_TICK_S)
        log.warning("Some attempts did not stop within %.0f s; they end by themselves", LEAVE_LIMIT_S)

    def _say_heartbeat(self, seconds_ago: int | None) -> None:
        value = None if seconds_ago is None else Now() - timedelta(seconds=seconds_ago)
        try:
            Node.objects.filter(id=self.node.id).update(heartbeat_at=value)
        except DatabaseError as error:
            log.warning("The database does not answer: %s", error)

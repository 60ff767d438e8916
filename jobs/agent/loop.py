"""The agent's loop: one look at everything it is responsible for, a few times a second."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import msgspec
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.db.models.functions import Now

from engine import procfs
from engine.directory import AttemptDirectory
from jobs import inventory
from jobs.agent import launch, warm
from jobs.agent.children import Keeper
from jobs.agent.follow import end, follow
from jobs.agent.launch import Launched, LaunchError
from jobs.models import Attempt, Node
from jobs.states import ATTEMPT_LIVE, AttemptState, Cause

log = logging.getLogger(__name__)

BUSY_TICK_S = 0.2
IDLE_TICK_S = 0.5  # the doorbell cuts it short
ERROR_PAUSE_S = 2.0
BEAT_EVERY_S = 5.0
STRAYS_EVERY_S = 10.0
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
    _vouched_until: float = 0.0  # unix time up to which a successful heartbeat lets us vouch for our attempts
    _leases: dict[int, float] = field(default_factory=dict)
    _ended: set[Path] = field(default_factory=set)

    def run(self, stop: threading.Event, stops_attempts: bool) -> None:
        """Until `stop` is set (ring the bell with it); then leave. Lives through any error."""
        while not stop.is_set():
            self.bell.wait(self._guarded_tick())
            self.bell.clear()
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
            Attempt.objects.filter(node=self.node, state__in=ATTEMPT_LIVE)
            .select_related("node", "job__run")
            .order_by("id")
        )
        return sum(self._attend_guarded(attempt) for attempt in attempts)

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

    def _attend_guarded(self, attempt: Attempt) -> bool:
        """One attempt that cannot be followed must not keep the agent from the others."""
        try:
            return self._attend(attempt)
        except DatabaseError:
            raise
        except Exception:
            log.exception("Attempt %s of job %s cannot be followed", attempt.number, attempt.job_id)
            return True

    def _attend(self, attempt: Attempt) -> bool:
        if attempt.state == AttemptState.ASSIGNED:
            return self._take(attempt)
        directory = AttemptDirectory(attempt.directory)
        if self._leases.get(attempt.id) != self._vouched_until:
            directory.write_lease(self._vouched_until)
            self._leases[attempt.id] = self._vouched_until
        wants_stop = attempt.job.wants_stop or attempt.yield_reason or self.why_stopping
        if wants_stop and directory.read_control() != "stop":
            directory.write_control("stop")
        is_alive = follow(attempt, self._launched.get(attempt.id), self.why_stopping)
        if not is_alive:
            self._launched.pop(attempt.id, None)
            self._leases.pop(attempt.id, None)
            self._strays_at = (
                0.0  # it may have been refused a device that a stray of an earlier attempt holds
            )
        return is_alive

    def _take(self, attempt: Attempt) -> bool:
        if self.why_stopping:
            return False
        if self.warm_parent and warm.is_warming_up(self.warm_parent, self.node_dir):
            return True  # look again in a moment
        if attempt.job.wants_stop:
            end(attempt, AttemptState.STOPPED, "cancelled before it was started", Cause.STOPPED)
            return False
        if attempt.yield_reason:
            end(attempt, AttemptState.STOPPED, "", Cause.STOPPED)
            return False
        try:
            directory = launch.prepare(attempt, self.node_dir, self._vouched_until)
            if directory is None:
                return False
            self._launched[attempt.id] = launch.start(directory, lambda path: warm.start(self.node_dir, path))
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
        self._vouched_until = vouched_until
        self._beat_at = time.monotonic() + BEAT_EVERY_S
        (self.node_dir / "agent.alive").touch()

    def _stop_strays(self) -> None:
        """Supervisors of attempts that the database has given up (lost, or superseded) are told to stop."""
        if time.monotonic() < self._strays_at:
            return
        self._strays_at = time.monotonic() + STRAYS_EVERY_S
        for path in set((self.node_dir / "attempts").glob("*")) - self._ended:
            directory = AttemptDirectory(path)
            try:
                state = directory.read_state()
            except (OSError, msgspec.MsgspecError) as error:
                log.warning("The state in %s cannot be read: %s", path, error)
                continue
            if state is None:
                continue
            if state.is_terminal or not procfs.is_alive(state.pid, state.pid_started):
                self._ended.add(path)
            elif not Attempt.objects.filter(
                node=self.node, directory=str(path), state__in=ATTEMPT_LIVE
            ).exists():
                log.warning("The supervisor in %s belongs to no living attempt: it is told to stop", path)
                directory.write_control("stop")

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

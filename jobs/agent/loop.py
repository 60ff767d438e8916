"""The agent's loop, which polls everything the agent is responsible for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.db.models.functions import Now

from engine.directory import AttemptDirectory, Control
from jobs.agent import attempt_nodes, forkserver, launch, returning, supervisors
from jobs.agent.follow import follow, stop_by_folder
from jobs.agent.launch import Launched, LaunchError
from jobs.agent.probing import Prober
from jobs.agent.resuming import CheckpointAway, CheckpointPending
from jobs.agent.subprocesses import ProcessSupervisor
from jobs.agent.transferring import TransferThread
from jobs.attempts import checkpoints, logs, observations, removal, traces, transfers
from jobs.lifecycle.ending import end_attempt
from jobs.models import Attempt, AttemptNode, Node
from jobs.nodes import admin, device_faults, inventory, node_faults
from jobs.scheduler import gangs
from jobs.states.jobs import ATTEMPT_LIVE, ATTEMPT_NODE_LIVE, AttemptNodeState, AttemptState, Cause

log = logging.getLogger(__name__)

BUSY_TICK_S = 0.2
IDLE_TICK_S = 0.5  # shortened by the doorbell
ERROR_PAUSE_S = 2.0
HEARTBEAT_EVERY_S = 5.0
RECONCILE_EVERY_S = 10.0
UPLOAD_EVERY_S = 2.0
REMOVE_EVERY_S = 20.0
SHUTDOWN_MARGIN_S = 30.0  # after the grace of the ranks: final states, last points, logs
MARGIN_SHARE = 0.1  # of the reassign time, reserved for slow machines


def lease_s() -> float:
    """Return how long a supervisor runs without a new heartbeat of its agent.

    The ranks' grace period follows. Both must be over before the scheduler gives the devices to another job.
    """
    return (1 - MARGIN_SHARE) * settings.REASSIGN_AFTER_S - settings.STOP_GRACE_S


@dataclass
class Agent:
    """The agent of one node. After kill -9 it restores its state from the database and the disk."""

    node: Node
    node_dir: Path
    wakeup: threading.Event = field(default_factory=threading.Event)
    subprocesses: list[ProcessSupervisor] = field(default_factory=list)
    fork_server: ProcessSupervisor | None = None  # one of `subprocesses`
    stop_reason: str = ""  # set while the agent stops its attempts on shutdown
    _launched: dict[int, Launched] = field(default_factory=dict)
    _heartbeat_at: float = 0.0
    _mirrored_at: float = 0.0
    _reconcile_at: float = 0.0
    _upload_at: float = 0.0
    _remove_at: float = 0.0
    _lease_until: float = 0.0  # unix time until which the last heartbeat extends the supervisors' leases
    _leases: dict[int, float] = field(default_factory=dict)
    _ended: set[Path] = field(default_factory=set)
    _live: dict[int, AttemptDirectory] = field(default_factory=dict)  # by id of attempts with ranks here
    _device_monitor: device_faults.DeviceMonitor = field(init=False)
    _node_monitor: node_faults.NodeMonitor = field(init=False)
    _prober: Prober = field(init=False)

    def __post_init__(self) -> None:
        self._device_monitor = device_faults.DeviceMonitor(self.node, self.node_dir / "locks")
        self._node_monitor = node_faults.NodeMonitor(self.node, self.node_dir)
        self._prober = Prober(self.node, self.node_dir)

    def run(self, stop: threading.Event, stops_attempts: bool) -> None:
        """Tick until `stop` is set, then shut down. To stop at once, set `wakeup` as well. Survives any error."""
        transfer_thread = TransferThread(self.node, self.node_dir)
        transfer_thread.start()
        while not stop.is_set():
            self.wakeup.wait(self._guarded_tick())
            self.wakeup.clear()
        self._prober.cancel()
        if stops_attempts:
            self._stop_attempts()
        transfer_thread.stop()
        self._record_stop()
        for subprocess in self.subprocesses:
            subprocess.stop()

    def tick(self) -> int:
        """Poll everything once. Returns the number of live attempts."""
        for subprocess in self.subprocesses:
            subprocess.tick()
        self._record_heartbeat()
        self._mirrored_at = inventory.mirror(self.node, self.node_dir, self._mirrored_at)
        self._reconcile()
        attempts = (
            Attempt.objects.filter(node=self.node, state__in=ATTEMPT_LIVE, num_nodes=1)
            .select_related("node", "job__run")
            .order_by("id")
        )
        gang_nodes = (
            AttemptNode.objects.filter(node=self.node, state__in=ATTEMPT_NODE_LIVE)
            .select_related("node", "attempt__node", "attempt__job__run")
            .order_by("id")
        )
        self._prober.poll(time.monotonic(), is_idle=not (attempts or gang_nodes or self.stop_reason))
        self._live.clear()
        alive = sum(self._guarded(self._poll_attempt, attempt, attempt) for attempt in attempts)
        alive += sum(
            self._guarded(self._poll_attempt_node, attempt_node.attempt, attempt_node)
            for attempt_node in gang_nodes
        )
        self._upload()
        self._remove_folders()
        return alive

    def _guarded_tick(self) -> float:
        """Tick once; returns the seconds until the next tick."""
        try:
            return BUSY_TICK_S if self.tick() else IDLE_TICK_S
        except DatabaseError as error:
            log.warning("The database does not answer; attempts run on: %s", error)
        except Exception:
            log.exception("A tick of the agent failed")
        close_old_connections()
        return ERROR_PAUSE_S

    def _guarded(self, poll: Callable[[Any], bool], attempt: Attempt, row: Attempt | AttemptNode) -> bool:
        """Poll one attempt; an error in it does not keep the agent from the others."""
        try:
            return poll(row)
        except DatabaseError:
            raise
        except Exception:
            log.exception("Attempt %s of job %s cannot be followed", attempt.number, attempt.job_id)
            return True

    def _poll_attempt(self, attempt: Attempt) -> bool:
        if attempt.state == AttemptState.ASSIGNED:
            return self._start_attempt(attempt)
        directory = self._live[attempt.id] = AttemptDirectory(self.node_dir / attempt.directory)
        self._renew_lease(attempt.id, directory)
        must_stop = attempt.job.wanted_state or attempt.yield_reason or self.stop_reason
        if must_stop and directory.read_control() != "stop":
            directory.write_control("stop")
        is_alive = follow(attempt, self._launched.get(attempt.id), self.stop_reason, self.node_dir)
        return is_alive or self._forget(attempt.id)

    def _poll_attempt_node(self, attempt_node: AttemptNode) -> bool:
        attempt = attempt_node.attempt
        control = attempt_nodes.get_target_control(attempt_node, self.stop_reason)
        if attempt_node.state == AttemptNodeState.ASSIGNED:
            return self._prepare_attempt_node(attempt_node, control)
        directory = self._live[attempt.id] = AttemptDirectory(self.node_dir / attempt_node.directory)
        self._renew_lease(attempt.id, directory)
        attempt_nodes.write_control(attempt_node, directory, control)
        launched = self._launched.get(attempt.id)
        is_alive = attempt_nodes.follow(attempt_node, launched, self.stop_reason, self.node_dir)
        return is_alive or self._forget(attempt.id)

    def _renew_lease(self, attempt_id: int, directory: AttemptDirectory) -> None:
        if self._leases.get(attempt_id) != self._lease_until:
            directory.write_lease(self._lease_until)
            self._leases[attempt_id] = self._lease_until

    def _forget(self, attempt_id: int) -> bool:
        self._launched.pop(attempt_id, None)
        self._leases.pop(attempt_id, None)
        self._reconcile_at = 0.0  # it may have failed because orphans of an earlier attempt hold a device
        return False

    @property
    def _is_fork_server_starting(self) -> bool:
        return self.fork_server is not None and forkserver.is_starting(self.fork_server, self.node_dir)

    def _prepare_attempt_node(self, attempt_node: AttemptNode, control: Control) -> bool:
        if control != "prepare":
            attempt_nodes.withdraw(attempt_node, "never started")
            return False
        if self._is_fork_server_starting:
            return True
        try:
            directory = launch.prepare_attempt_node(attempt_node, self.node_dir, self._lease_until)
            if directory is None:
                return False
            self._launched[attempt_node.attempt_id] = launch.start(
                directory, lambda path: forkserver.fork_supervisor(self.node_dir, path)
            )
        except CheckpointPending:
            return True  # the next tick tries again
        except CheckpointAway as error:
            gangs.end_attempt_node(attempt_node, AttemptNodeState.STOPPED, str(error), Cause.STOPPED)
            return False
        except LaunchError as error:
            gangs.end_attempt_node(attempt_node, AttemptNodeState.FAILED, str(error), error.cause)
            return False
        return True

    def _start_attempt(self, attempt: Attempt) -> bool:
        if self.stop_reason:
            return False
        if self._is_fork_server_starting:
            return True  # the next tick tries again
        if attempt.job.wanted_state or attempt.yield_reason:
            end_attempt(attempt, AttemptState.STOPPED, "stopped before it was started", Cause.STOPPED)
            return False
        try:
            directory = launch.prepare(attempt, self.node_dir, self._lease_until)
            if directory is None:
                return False
            self._launched[attempt.id] = launch.start(
                directory, lambda path: forkserver.fork_supervisor(self.node_dir, path)
            )
        except CheckpointPending:
            return True  # the next tick tries again
        except CheckpointAway as error:
            end_attempt(attempt, AttemptState.STOPPED, str(error), Cause.STOPPED)
            return False
        except LaunchError as error:
            end_attempt(attempt, AttemptState.FAILED, str(error), error.cause)
            return False
        return True

    def _record_heartbeat(self) -> None:
        if self.stop_reason or time.monotonic() < self._heartbeat_at:
            return
        if returning.is_returning(self.node):
            returning.catch_up(self.node.id, self.node_dir)
        lease_until = time.time() + lease_s()  # before the UPDATE: a slow database must not extend it
        if not Node.objects.filter(id=self.node.id).update(heartbeat_at=Now()):
            self.node = inventory.register(self.node_dir)
        admin.record_heartbeat(self.node)
        self._lease_until = lease_until
        self._heartbeat_at = time.monotonic() + HEARTBEAT_EVERY_S
        (self.node_dir / "agent.alive").touch()

    def _reconcile(self) -> None:
        """Stop supervisors of attempts that are lost or superseded, and kill what dead supervisors left behind.

        Also reconciles checkpoints and checks the health of devices and node. Runs every RECONCILE_EVERY_S.
        """
        if time.monotonic() < self._reconcile_at:
            return
        self._reconcile_at = time.monotonic() + RECONCILE_EVERY_S
        observations.observe(self.node, self.node_dir)
        transfers.clean_up(self.node, self.node_dir)
        checkpoints.update_holds(self.node, self.node_dir)
        self._device_monitor.poll(time.monotonic())
        self._node_monitor.poll(time.monotonic())
        self._ended |= supervisors.stop_strays(self.node, self.node_dir, self._ended)

    def _upload(self) -> None:
        if time.monotonic() >= self._upload_at:
            self._upload_at = time.monotonic() + UPLOAD_EVERY_S
            logs.upload(self.node, self.node_dir)
            traces.write_requests(self._live)
            traces.upload(self.node, self.node_dir)

    def _remove_folders(self) -> None:
        """Remove folders of attempts that people deleted for good."""
        if time.monotonic() >= self._remove_at:
            self._remove_at = time.monotonic() + REMOVE_EVERY_S
            removal.remove_wanted(self.node, self.node_dir)

    def _stop_attempts(self) -> None:
        """Stop all attempts at a step boundary with a checkpoint; their jobs return to the queue."""
        self.stop_reason = "Interrupted by shutdown"
        # Old enough that no new work comes, young enough that no attempt counts as lost while it saves its checkpoint.
        self._set_heartbeat(settings.UNREACHABLE_AFTER_S)
        limit_s = settings.STOP_GRACE_S + SHUTDOWN_MARGIN_S
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            pause_s = self._guarded_tick()
            if pause_s == IDLE_TICK_S:
                self._set_heartbeat(None)
                return
            if pause_s == ERROR_PAUSE_S and stop_by_folder(self.node_dir, self._ended):
                return  # the next agent reports it
            time.sleep(pause_s)
        log.warning("Some attempts did not stop within %.0f s; they finish without the agent", limit_s)

    def _record_stop(self) -> None:
        try:
            admin.record_stop(self.node)
        except DatabaseError as error:
            log.warning("The database does not answer: %s", error)

    def _set_heartbeat(self, seconds_ago: int | None) -> None:
        value = None if seconds_ago is None else Now() - timedelta(seconds=seconds_ago)
        try:
            Node.objects.filter(id=self.node.id).update(heartbeat_at=value)
        except DatabaseError as error:
            log.warning("The database does not answer: %s", error)

"""`manage.py agent`: register this machine as a node and run its attempts."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from jobs.agent import doorbell, forkserver, returning
from jobs.agent.loop import Agent
from jobs.agent.subprocesses import ProcessSupervisor, terminate_orphan
from jobs.models import Node
from jobs.nodes import inventory
from jobs.nodes.joining import JoinError
from jobs.tasks import wakeup


class Command(BaseCommand):
    help = "Run the attempts that are assigned to this machine, until SIGTERM. Attempts outlive the agent."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--stop-attempts",
            action="store_true",
            help="on SIGTERM, stop running attempts at a checkpoint and return their jobs to the queue",
        )

    def handle(self, *, stop_attempts: bool, **options: Any) -> None:
        node_dir: Path = settings.NODE_DIR
        try:
            lock = _acquire_lock(node_dir)
            inventory.export_machine_id(node_dir)
            returning.catch_up(inventory.node_id(node_dir), node_dir)
            node = inventory.register(node_dir)
        except OSError as error:
            raise CommandError(f"The node's folder {node_dir} cannot be used: {error}.") from None
        except JoinError as error:
            raise CommandError(str(error)) from None
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: _stop_agent(stop))
        sampler, parent = _sampler(node_dir), _fork_server(node, node_dir)
        agent = Agent(node, node_dir, wakeup, [sampler, parent] if parent else [sampler], parent)
        # The loop's thread starts the subprocesses: their death signal is bound to the thread that forked them.
        loop = threading.Thread(target=agent.run, args=(stop, stop_attempts), name="agent")
        loop.start()
        doorbell.listen(node.id, stop)
        loop.join()
        lock.close()


def _stop_agent(stop: threading.Event) -> None:
    doorbell.request_stop(stop)
    wakeup.set()


def _sampler(node_dir: Path) -> ProcessSupervisor:
    terminate_orphan(node_dir / "sampler.lock")
    return ProcessSupervisor(
        "sampler", [sys.executable, "-m", "engine.telemetry.sampler", str(node_dir)], node_dir
    )


def _fork_server(node: Node, node_dir: Path) -> ProcessSupervisor | None:
    kind = node.devices.filter(is_present=True).values_list("kind", flat=True).first()
    if kind is None or os.environ.get("FOURWALLS_FORK_SERVER", "1") == "0":
        return None
    return forkserver.build_supervisor(node_dir, kind)


def _acquire_lock(node_dir: Path) -> Any:
    """Acquire the lock of the node's folder. Raises CommandError if another agent holds it."""
    node_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = open(node_dir / "agent.lock", "a")  # noqa: SIM115  (held until the end of the process)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CommandError(f"An agent already runs from {node_dir}.") from None
    return lock

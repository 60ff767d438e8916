"""Detection of faulty nodes from repeated faults, by the node's own agent.

A suspect node gets no new work; running attempts continue. It becomes ok again when the evidence is gone. After failed
launches that takes a pause, which doubles with each further failure. A successful launch, or a person who readmits the
node, resets the count.
"""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from jobs.lifecycle.node_transitions import move_health
from jobs.models import Attempt, AttemptNode, Node, NodeEvent
from jobs.states.jobs import Cause
from jobs.states.nodes import Health

# Attempts in a row whose supervisor could not start or died, of at least so many jobs: one job may be the cause itself.
FAILURES, FAILED_JOBS = 3, 2
NODE_CAUSES = (Cause.LAUNCH, Cause.SUPERVISOR)
ATTEMPT_HISTORY = 16
LONGEST_PAUSE = timedelta(hours=8)

CLOCK_JUMP_S = 5.0  # slewing moves a clock by less
CLOCK_JUMPS, CLOCK_WINDOW_S = 2, 3600.0  # one jump is normal, when a machine first reaches its time server

RESERVE_REGAINED = 1.25  # of the reserve, before a full disk counts as usable again
SILENT_SAMPLER_S = 180.0  # three times the longest period of a sampler
POLL_GAP_LIMIT_S = 15.0  # longer gaps between two polls do not count as silence: this process was stopped too


def _wall_less_uptime_s() -> float:
    """Return wall time minus uptime, which changes only when the clock is set. Uptime includes suspended time."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass
class NodeMonitor:
    """Checks one agent's node. Its state, except failed launches, is lost when the agent restarts."""

    node: Node
    node_dir: Path
    clock: Callable[[], float] = _wall_less_uptime_s
    _offset_s: float | None = None
    _jumped_at_s: deque[float] = field(default_factory=lambda: deque(maxlen=CLOCK_JUMPS))
    _polled_at_s: float | None = None
    _written_at: float | None = None
    _silent_s: float = 0.0
    _full: set[Path] = field(default_factory=set)  # folders whose disk is nearly full

    def poll(self, now_s: float) -> str:
        """Make the node suspect or ok. Returns why it is suspect; '' if it is not. `now_s` is monotonic."""
        evidence = [
            _launch_failure_evidence(self.node),
            self._clock_jump_evidence(now_s),
            self._silent_sampler_evidence(now_s),
            self._full_disk_evidence(),
        ]
        why = " ".join(sentence for sentence in evidence if sentence)
        actor = f"agent:{self.node.name}"
        if why:
            move_health(self.node.id, Health.SUSPECT, actor=actor, reason=why, only_from=(Health.OK,))
        else:
            reason = "The node shows no fault any more."
            move_health(self.node.id, Health.OK, actor=actor, reason=reason, only_from=(Health.SUSPECT,))
        return why

    def _clock_jump_evidence(self, now_s: float) -> str:
        offset_s, before_s = self.clock(), self._offset_s
        self._offset_s = offset_s
        if before_s is not None and abs(offset_s - before_s) > CLOCK_JUMP_S:
            self._jumped_at_s.append(now_s)
        recent = [at_s for at_s in self._jumped_at_s if now_s - at_s < CLOCK_WINDOW_S]
        if len(recent) < CLOCK_JUMPS:
            return ""
        return f"The clock was set by more than {CLOCK_JUMP_S:.0f} s, {CLOCK_JUMPS} times within an hour."

    def _full_disk_evidence(self) -> str:
        """Checkpoints, prepared data and logs of an attempt need space; ranks that fill a disk lose their work. A disk
        counts as full until it has a quarter more than the reserve again."""
        reserve = settings.DISK_RESERVE_BYTES
        for folder in {
            self.node_dir,
            Path(settings.DATA_DIR),
            Path(settings.CHECKPOINT_ROOT or self.node_dir),
        }:
            free = free_bytes(folder)
            enough = RESERVE_REGAINED * reserve if folder in self._full else reserve
            if free is None or free >= enough:
                self._full.discard(folder)
            else:
                self._full.add(folder)
        return " ".join(
            f"The disk of {folder} is nearly full: {(free_bytes(folder) or 0) / 2**30:.1f} GiB are free, "
            f"{reserve / 2**30:.1f} GiB are kept in reserve."
            for folder in sorted(self._full)
        )

    def _silent_sampler_evidence(self, now_s: float) -> str:
        """Return evidence if the sampler's file has not changed for SILENT_SAMPLER_S; '' if there is no sampler."""
        elapsed_s = 0.0 if self._polled_at_s is None else min(now_s - self._polled_at_s, POLL_GAP_LIMIT_S)
        self._polled_at_s = now_s
        try:
            written_at = os.stat(self.node_dir / "devices.json").st_mtime
        except FileNotFoundError:
            return ""
        self._silent_s = self._silent_s + elapsed_s if written_at == self._written_at else 0.0
        self._written_at = written_at
        if self._silent_s < SILENT_SAMPLER_S:
            return ""
        return f"The sampler has written no readings for {SILENT_SAMPLER_S:.0f} s."


def free_bytes(folder: Path) -> int | None:
    """Free space of the disk that holds a folder, or will hold it; None if that cannot be told."""
    for place in (folder, *folder.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def _launch_failure_evidence(node: Node) -> str:
    """Return evidence if the last attempts failed to launch; '' once the pause is over, to let one attempt try."""
    ends = _list_endings(node)
    in_a_row = list(takewhile(lambda end: end[1] in NODE_CAUSES, ends))
    if len(in_a_row) < FAILURES or len({job for _, _, job in in_a_row}) < FAILED_JOBS:
        return ""
    pause = timedelta(seconds=settings.SUSPECT_PAUSE_S) * 2 ** (len(in_a_row) - FAILURES)
    if timezone.now() - in_a_row[0][0] > min(pause, LONGEST_PAUSE):
        return ""
    return (
        f"The last {len(in_a_row)} attempts here ended because their supervisor could not start or died; "
        f"the next one may try {min(pause, LONGEST_PAUSE).total_seconds():.0f} s after the last."
    )


def _list_endings(node: Node) -> list[tuple[datetime, str, str]]:
    """Return (end, cause, job) of attempts that ended here since a person last made the node ok, newest first."""
    made_ok = NodeEvent.objects.filter(node=node, kind=f"health.{Health.OK}")
    since = made_ok.exclude(actor=f"agent:{node.name}").order_by("-id").values_list("at", flat=True).first()
    after = {"ended_at__gt": since} if since else {"ended_at__isnull": False}
    alone = Attempt.objects.filter(node=node, num_nodes=1, **after).order_by("-ended_at")
    gang_nodes = AttemptNode.objects.filter(node=node, **after).order_by("-ended_at")
    rows = [
        *alone.values_list("ended_at", "cause", "job_id")[:ATTEMPT_HISTORY],
        *gang_nodes.values_list("ended_at", "cause", "attempt__job_id")[:ATTEMPT_HISTORY],
    ]
    return sorted(((at, cause, job) for at, cause, job in rows if at), reverse=True)

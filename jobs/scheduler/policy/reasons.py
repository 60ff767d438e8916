"""Waiting reasons: a code with values for programs, and its sentence for users."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

ReasonValues = Mapping[str, Any]


class WaitingReason(msgspec.Struct, frozen=True):
    code: str
    values: ReasonValues = {}

    @property
    def sentence(self) -> str:
        return SENTENCES[self.code](self.values)

    def without_counts(self) -> WaitingReason:
        """The reason without the figures that change with every job that starts or ends."""
        changing = CHANGING_VALUES.get(self.code, ())
        return WaitingReason(self.code, {k: v for k, v in self.values.items() if k not in changing})

    @property
    def unknown_start(self) -> str:
        """Why the start is not known."""
        return UNKNOWN_START.get(self.code, "The jobs that it waits for have no known end.")


def format_devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def format_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _gang_fit(v: ReasonValues) -> str:
    if v["node"] is None:
        return f"Needs {format_devices(v['need'])} on several nodes; {v['have']} of {v['total']} are free."
    held, holders = v["total"] - v["have"], v["holders"]
    if not holders:
        return f"Needs {format_devices(v['need'])}; {v['have']} of {v['total']} on node {v['node']} are free."
    who = "job" if len(holders) == 1 else "jobs"
    by = ", ".join(holders[:3]) + (", ..." if len(holders) > 3 else "")
    return f"Needs {format_devices(v['need'])}; {held} of {v['total']} on node {v['node']} are held by {who} {by}."


def _no_node(v: ReasonValues) -> str:
    if not v["largest"]:
        return f"Pool '{v['pool']}' has no node with devices."
    return f"Needs {format_devices(v['need'])} on {v['where']}; the largest available has {v['largest']}."


def _node_drained(v: ReasonValues) -> str:
    nodes = ", ".join(f"{count} {reason}" for reason, count in v["nodes"].items())
    large = f" with {format_devices(v['need'])}" if v["largest"] else ""
    return f"No node of pool '{v['pool']}'{large} takes work: {nodes}."


def _quota(v: ReasonValues) -> str:
    if v["need"] > v["limit"]:
        return f"Team {v['team']} may hold {format_devices(v['limit'])} in this pool; this job needs {v['need']}."
    allowed = format_devices(v["limit"])
    if "held" not in v:
        return f"Team {v['team']} may hold {allowed} in this pool, and its jobs ahead take them."
    return f"Team {v['team']} holds {v['held']} of the {allowed} allowed; this job needs {v['need']}."


def _budget(v: ReasonValues) -> str:
    if v["budget"] == "j":
        return f"Team {v['team']} has used up this month's energy budget of {v['whole'] / 3.6e6:.4g} kWh."
    if "left" not in v:
        return f"Team {v['team']} has not enough of this month's budget left for this job and those ahead."
    size, unit = (3600, "device-hours") if v["budget"] == "device_s" else (1, v["currency"])
    digits = 1 if v["budget"] == "device_s" else 2
    return (
        f"Team {v['team']} has {max(0, v['left']) / size:.{digits}f} {unit} of this month's budget left, besides what "
        f"its running jobs may use; this job may use {v['need'] / size:.{digits}f}."
    )


def _reserved(v: ReasonValues) -> str:
    if v["from"] is None:
        return f"Free devices are reserved for job {v['for']}, which is ahead."
    return (
        f"Free devices are reserved for job {v['for']} from {format_time(v['from'])} on; "
        "only jobs whose time limit ends before then may use them."
    )


def _checkpoint(v: ReasonValues) -> str:
    return (
        "The checkpoint that it starts from" if v["is_start"] else f"Its newest checkpoint (step {v['step']})"
    )


def _checkpoint_away(v: ReasonValues) -> str:
    way_out = "" if v["is_start"] else " A person may start it from an earlier step instead."
    return f"{_checkpoint(v)} lies on node {v['node']}, which {v['why']}. It waits for that node.{way_out}"


def _checkpoint_failed(v: ReasonValues) -> str:
    return (
        f"{_checkpoint(v)} could not be copied to another node: {v['why']} It is tried again within a minute."
    )


def _checkpoint_lost(v: ReasonValues) -> str:
    if v["is_start"]:
        return "The checkpoint that it starts from is lost or damaged. Cancel the job."
    return "Its checkpoints are lost or damaged. It waits until a person starts it from step 0."


SENTENCES: dict[str, Callable[[ReasonValues], str]] = {
    "POOL_CLOSED": lambda v: f"Pool '{v['pool']}' is closed.",
    "NO_NODE": _no_node,
    "NODE_DRAINED": _node_drained,
    "CHECKPOINT_AWAY": _checkpoint_away,
    "CHECKPOINT_FAILED": _checkpoint_failed,
    "CHECKPOINT_LOST": _checkpoint_lost,
    "QUOTA": _quota,
    "BUDGET": _budget,
    "GANG_FIT": _gang_fit,
    "RESERVED": _reserved,
    "AHEAD": lambda v: (
        f"Behind {v['n']:,} to {v['to']:,} jobs."
        if "to" in v
        else f"Behind {v['n']} {'job' if v['n'] == 1 else 'jobs'}."
    ),
}
CHANGING_VALUES: dict[str, tuple[str, ...]] = {"QUOTA": ("held",), "BUDGET": ("left",)}
UNKNOWN_START: dict[str, str] = {
    "POOL_CLOSED": "It depends on when the pool is opened.",
    "NO_NODE": "It depends on when a larger node joins.",
    "NODE_DRAINED": "It depends on when a node takes work again.",
    "CHECKPOINT_AWAY": "It depends on when the node with its checkpoint answers.",
    "CHECKPOINT_FAILED": "It depends on when its checkpoint can be copied.",
    "CHECKPOINT_LOST": "It depends on when a person decides.",
    "QUOTA": "It depends on when the team's own jobs end, or its quota is raised.",
    "BUDGET": "It needs more than a whole month's budget, or devices with no known end.",
    "GANG_FIT": "A job that holds the devices has run past its time limit.",
}

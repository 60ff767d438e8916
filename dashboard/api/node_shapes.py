"""Schemas of nodes, devices and join tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from dashboard.api.strict import RequestBody


class DeviceOut(Schema):
    id: str
    index: int
    kind: str
    name: str
    cores: float | None
    memory_bytes: int | None
    is_held: bool
    job: str | None  # that holds it, if the caller may see the job
    health: str
    health_reason: str
    metrics: dict[str, float | None]
    missing: dict[str, tuple[str, str]]
    latest_at: datetime | None
    is_stale: bool


class NodeOut(Schema):
    id: str
    name: str
    is_cordoned: bool
    is_reachable: bool
    is_simulated: bool
    admin_state: str  # the state requested by an admin
    admin_reason: str
    admin_until: datetime | None  # the deadline of a drain, else the time at which it opens by itself
    drain_policy: str
    health: str
    health_reason: str
    heartbeat_at: datetime | None
    facts: dict[str, Any]
    host: dict[str, Any]
    devices: list[DeviceOut]


class NodeEventOut(Schema):
    at: datetime
    actor: str
    kind: str
    text: str
    until: datetime | None
    device: str | None


class NodeDetail(NodeOut):
    pool: str
    state: str  # in one word: unreachable, failed, stopped, an admin state, suspect, or ready
    allocation: str  # idle, mixed or full
    events: list[NodeEventOut]  # newest first, at most 100
    num_events: int  # also the older ones


class NodePage(Schema):
    items: list[NodeOut]
    next_offset: int | None


class NodeActionIn(RequestBody):
    """The options of an action: a drain needs a policy, and with `deadline` the hours until then."""

    reason: str = ""
    policy: str = ""
    hours: float | None = None


class DeviceHealthIn(RequestBody):
    health: str
    reason: str = ""


class TokenOut(Schema):
    id: int
    pool: str
    prefix: str
    actor: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    node: str | None  # that joined with it
    revoked_by: str


class TokenCreated(TokenOut):
    token: str  # shown only in this reply


class Tokens(Schema):
    items: list[TokenOut]
    total: int  # also those beyond `items`


class TokenLifetimeIn(RequestBody):
    hours: float = 24.0

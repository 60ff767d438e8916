"""Nodes: state, actions of admins, devices, join tokens."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Query, Router, Status

from dashboard.access import get_scope
from dashboard.api.node_shapes import (
    DeviceHealthIn,
    NodeActionIn,
    NodeDetail,
    NodePage,
    TokenCreated,
    TokenLifetimeIn,
    TokenOut,
    Tokens,
)
from dashboard.api.paging import page
from dashboard.api.pools import node_out
from dashboard.api.shapes import Refusal
from dashboard.pages.nodes.actions import ActionForm
from engine.request_limits import OFFSET, PAGE_ROWS
from engine.spec.spec import Problem, SpecError
from jobs.models import Device, Node, NodeToken, Pool
from jobs.nodes import admin, joining
from jobs.nodes.heartbeat import current_state
from jobs.nodes.occupants import nodes_with_devices
from jobs.scheduler.node_actions import ACTIONS
from jobs.states.jobs import StateError

router = Router(tags=["nodes"])
EVENTS_LIMIT = 100


@router.get("/nodes", response=NodePage)
def listing(
    request: HttpRequest,
    pool: str | None = None,
    limit: int = Query(100, ge=1, le=PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:
    """Nodes, sorted by name."""
    now, can_see = timezone.now(), get_scope(request).can_see_details
    found = nodes_with_devices()
    if pool is not None:
        found = found.filter(pool__name=pool)
    return page(found.order_by("name", "id"), limit, offset, lambda node: node_out(node, can_see, now))


@router.get("/nodes/{node_id}", response={200: NodeDetail, 404: Refusal})
def one(request: HttpRequest, node_id: str) -> dict[str, Any]:
    return _detail(request, node_id)


@router.post("/nodes/{node_id}/{verb}", response={200: NodeDetail, 404: Refusal, 409: Refusal, 422: Refusal})
def ask(request: HttpRequest, node_id: str, verb: str, body: NodeActionIn) -> dict[str, Any]:
    """cordon, drain, maintenance, uncordon, readmit or retire; for admins. Drain policies: finish, checkpoint,
    deadline. 422 with every problem of the options, 409 if the node's state does not allow the action."""
    actor = get_scope(request).must_be_admin()
    if verb not in ACTIONS:
        raise Http404
    node = get_object_or_404(Node, id=node_id)
    values = {name: value for name, value in body.dict().items() if value is not None}
    form = ActionForm(ACTIONS[verb], values)
    if not form.is_valid():
        raise SpecError([Problem(name, str(one)) for name, found in form.errors.items() for one in found])
    form.perform(node, actor)
    return _detail(request, node_id)


@router.post(
    "/nodes/{node_id}/devices/{device_id}",
    response={200: NodeDetail, 404: Refusal, 409: Refusal, 422: Refusal},
)
def mark(request: HttpRequest, node_id: str, device_id: str, body: DeviceHealthIn) -> dict[str, Any]:
    """Mark a device as suspect or failed, so that it gets no new work, or as ok again; for admins."""
    actor = get_scope(request).must_be_admin()
    device = get_object_or_404(Device.objects.select_related("node"), id=device_id, node=node_id)
    if problems := admin.mark_problems(body.health, body.reason):
        raise SpecError(problems)
    admin.set_device_health(device, body.health, actor, body.reason)
    return _detail(request, node_id)


@router.get("/pools/{name}/tokens", response={200: Tokens, 404: Refusal})
def tokens(request: HttpRequest, name: str) -> dict[str, Any]:
    """The join tokens of a pool, newest first, at most 100; for admins. Their texts are not stored."""
    get_scope(request).must_be_admin()
    found = get_object_or_404(Pool, name=name).node_tokens.select_related("pool").order_by("-id")
    return {"items": [_token(token) for token in found[:EVENTS_LIMIT]], "total": found.count()}


@router.post("/pools/{name}/tokens", response={201: TokenCreated, 404: Refusal, 422: Refusal})
def make_token(request: HttpRequest, name: str, body: TokenLifetimeIn) -> Status:
    """A token with which one node can join, once; only this reply shows its text. For admins."""
    actor = get_scope(request).must_be_admin()
    pool = get_object_or_404(Pool, name=name)
    try:
        life = joining.token_ttl(body.hours)
    except StateError as error:
        raise SpecError([Problem("hours", str(error))]) from None
    text = joining.make_token(pool.name, actor, life)
    return Status(201, {**_token(pool.node_tokens.select_related("pool").latest("id")), "token": text})


@router.delete("/pools/{name}/tokens/{token_id}", response={200: TokenOut, 404: Refusal, 409: Refusal})
def revoke(request: HttpRequest, name: str, token_id: int) -> dict[str, Any]:
    actor = get_scope(request).must_be_admin()
    token = get_object_or_404(NodeToken.objects.select_related("pool"), id=token_id, pool__name=name)
    joining.revoke(token, actor)
    return _token(NodeToken.objects.select_related("pool").get(id=token.id))


def _detail(request: HttpRequest, node_id: str) -> dict[str, Any]:
    node = get_object_or_404(nodes_with_devices().select_related("pool"), id=node_id)
    out = node_out(node, get_scope(request).can_see_details, timezone.now())
    held = sum(device["is_held"] for device in out["devices"])
    columns = ("at", "actor", "kind", "text", "until")
    return {
        **out,
        "pool": node.pool.name,
        "state": current_state(node, timezone.now()),
        "allocation": admin.get_allocation(len(out["devices"]) - held, held),
        "events": [
            {**{name: getattr(event, name) for name in columns}, "device": event.device_id}
            for event in node.events.order_by("-id")[:EVENTS_LIMIT]
        ],
        "num_events": node.events.count(),
    }


def _token(token: NodeToken) -> dict[str, Any]:
    columns = ("id", "prefix", "actor", "created_at", "expires_at", "used_at", "revoked_by")
    return {
        **{name: getattr(token, name) for name in columns},
        "pool": token.pool.name,
        "node": token.node_id,
    }

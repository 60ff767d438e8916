"""Which machines may be nodes: one-time join tokens, and who a node is when it comes again.

A node is known by the key in its own folder; its machine and boot ids tell a copied folder and a restart apart.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from jobs.models import Node, NodeEvent, NodeToken, Pool
from jobs.nodes.heartbeat import alive_since
from jobs.states.jobs import StateError
from jobs.states.nodes import AdminState

TOKEN_LIFE = timedelta(hours=24)
LEAST_LIFE_HOURS, MAX_LIFE_HOURS = 0.01, 24 * 365
TOKEN_MARK = "fwn_"  # makes a leaked token findable by secret scanners


class JoinError(Exception):
    """This node may not join; the message says why and what to do."""


def token_life(hours: float) -> timedelta:
    """Return the life of a token. Raises StateError outside the limits."""
    if not LEAST_LIFE_HOURS <= hours <= MAX_LIFE_HOURS:
        raise StateError(
            f"'{hours:g}' is not between {LEAST_LIFE_HOURS:g} and {MAX_LIFE_HOURS:,} hours; try 24."
        )
    return timedelta(hours=hours)


def make_token(pool_name: str, actor: str, life: timedelta = TOKEN_LIFE) -> str:
    """A token that lets one node join the pool, once; this is the only time its text is seen. Makes the pool."""
    pool, _ = Pool.objects.get_or_create(name=pool_name)
    token = TOKEN_MARK + secrets.token_urlsafe(32)
    NodeToken.objects.create(
        pool=pool, sha256=_hash(token), prefix=token[:8], actor=actor, expires_at=timezone.now() + life
    )
    return token


def revoke(token: NodeToken, actor: str) -> None:
    """An unused token lets nobody in any more. Raises StateError when it was used, has expired or is revoked."""
    unused = NodeToken.objects.filter(id=token.id, used_at=None, revoked_by="", expires_at__gt=timezone.now())
    if not unused.update(revoked_by=actor):
        raise StateError(f"Token {token.prefix}... lets nobody in any more as it is.")


def admit(node_id: str, secret: str, facts: dict[str, Any]) -> Pool:
    """The pool of a node that registers, which is new or known. Call it in the transaction that writes its row.
    Raises JoinError."""
    ids = {name: str(facts.get(name) or "") for name in ("machine_id", "boot_id")}
    known = Node.objects.select_for_update().select_related("pool").filter(id=node_id).first()
    if known is not None:
        return _welcome_back(known, secret, ids)
    pool, token = _pool_to_join()
    node = Node.objects.create(id=node_id, pool=pool, secret_sha256=_hash(secret), **ids)
    said = f"With token {token.prefix}..., made by {token.actor}." if token else "Without a token."
    NodeEvent.objects.create(node=node, actor=f"node:{node_id}", kind="node.joined", text=said)
    if token:
        NodeToken.objects.filter(id=token.id).update(node=node)
    return pool


def _pool_to_join() -> tuple[Pool, NodeToken | None]:
    if settings.JOIN_TOKEN:
        token = _redeem(settings.JOIN_TOKEN)
        return token.pool, token
    if not _joins_freely():
        raise JoinError(
            f"A new node needs a token to join pool '{settings.NODE_POOL}'. An admin makes one with "
            f"'manage.py node token {settings.NODE_POOL}'; set FOURWALLS_JOIN_TOKEN to it for the first start."
        )
    return Pool.objects.get_or_create(name=settings.NODE_POOL)[0], None


def _joins_freely() -> bool:
    """The embedded broker's socket can be opened by this user alone: whoever listens there is `up`'s own agent."""
    is_free = Pool.objects.filter(name=settings.NODE_POOL, joins_freely=True).exists()
    return bool(settings.IS_BROKER_EMBEDDED) or is_free


def _redeem(text: str) -> NodeToken:
    """The conditional UPDATE decides between two nodes that come with the same token."""
    unused = NodeToken.objects.filter(
        sha256=_hash(text), used_at=None, revoked_by="", expires_at__gt=timezone.now()
    )
    if not unused.update(used_at=timezone.now()):
        raise JoinError(
            "The join token is unknown, used, revoked or expired. An admin makes another one: "
            "manage.py node token POOL."
        )
    return NodeToken.objects.select_related("pool").get(sha256=_hash(text))


def _welcome_back(node: Node, secret: str, ids: dict[str, str]) -> Pool:
    if node.admin_state == AdminState.RETIRED:
        raise JoinError(
            f"Node {node.name} was retired ({node.admin_reason}). Join anew from an empty folder."
        )
    if node.secret_sha256 and not secrets.compare_digest(node.secret_sha256, _hash(secret)):
        raise JoinError(f"The id {node.id} belongs to another node, whose key this folder does not hold.")
    is_moved = bool(node.machine_id) and node.machine_id != ids["machine_id"]
    if is_moved and Node.objects.filter(id=node.id, heartbeat_at__gt=alive_since()).exists():
        raise JoinError(
            f"Node {node.name} is alive on another machine: this folder is a copy of that one's. Join anew from an "
            "empty folder."
        )
    what = "moved to another machine" if is_moved else "restarted" if node.boot_id != ids["boot_id"] else ""
    if what and node.boot_id:
        kind = f"node.{what.split()[0]}"
        NodeEvent.objects.create(node=node, actor=f"agent:{node.name}", kind=kind, text=f"The node {what}.")
    Node.objects.filter(id=node.id).update(secret_sha256=_hash(secret), **ids)
    if _joins_freely():  # its own settings say where it belongs
        return Pool.objects.get_or_create(name=settings.NODE_POOL)[0]
    return node.pool


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()

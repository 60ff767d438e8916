"""Admission of machines as nodes, by one-time join tokens.

A known node is identified by the key in its folder. Its machine id shows a copied folder, its boot id a restart.
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

TOKEN_TTL = timedelta(hours=24)
LEAST_TTL_HOURS, MAX_TTL_HOURS = 0.01, 24 * 365
TOKEN_PREFIX = "fwn_"  # makes a leaked token findable by secret scanners


class JoinError(Exception):
    """This node may not join. The message gives the reason and what to do."""


def token_ttl(hours: float) -> timedelta:
    """Return the lifetime of a token. Raises StateError outside the limits."""
    if not LEAST_TTL_HOURS <= hours <= MAX_TTL_HOURS:
        raise StateError(
            f"'{hours:g}' is not between {LEAST_TTL_HOURS:g} and {MAX_TTL_HOURS:,} hours; try 24."
        )
    return timedelta(hours=hours)


def make_token(pool_name: str, actor: str, life: timedelta = TOKEN_TTL) -> str:
    """Return a new token that lets one node join the pool, once. Creates the pool if needed.

    Only its hash is stored, so its text cannot be shown again.
    """
    pool, _ = Pool.objects.get_or_create(name=pool_name)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    NodeToken.objects.create(
        pool=pool, sha256=_hash(token), prefix=token[:8], actor=actor, expires_at=timezone.now() + life
    )
    return token


def revoke(token: NodeToken, actor: str) -> None:
    """Revoke an unused token. Raises StateError if it is used, expired or revoked already."""
    unused = NodeToken.objects.filter(id=token.id, used_at=None, revoked_by="", expires_at__gt=timezone.now())
    if not unused.update(revoked_by=actor):
        raise StateError(f"Token {token.prefix}... is used, expired or revoked already.")


def admit(node_id: str, secret: str, facts: dict[str, Any]) -> Pool:
    """Return the pool of a new or known node that registers. Call it in the transaction that writes the node's row.

    Raises JoinError if the node may not join.
    """
    ids = {name: str(facts.get(name) or "") for name in ("machine_id", "boot_id")}
    known = Node.objects.select_for_update().select_related("pool").filter(id=node_id).first()
    if known is not None:
        return _admit_known(known, secret, ids)
    pool, token = _pool_to_join()
    node = Node.objects.create(id=node_id, pool=pool, secret_sha256=_hash(secret), **ids)
    message = f"With token {token.prefix}..., made by {token.actor}." if token else "Without a token."
    NodeEvent.objects.create(node=node, actor=f"node:{node_id}", kind="node.joined", text=message)
    if token:
        NodeToken.objects.filter(id=token.id).update(node=node)
    return pool


def _pool_to_join() -> tuple[Pool, NodeToken | None]:
    if settings.JOIN_TOKEN:
        token = _redeem(settings.JOIN_TOKEN)
        return token.pool, token
    if not _joins_freely():
        raise JoinError(
            f"A new node needs a token to join pool '{settings.NODE_POOL}'. Ask an admin to run 'manage.py node token "
            f"{settings.NODE_POOL}', and set FOURWALLS_JOIN_TOKEN to the token for the first start."
        )
    return Pool.objects.get_or_create(name=settings.NODE_POOL)[0], None


def _joins_freely() -> bool:
    """Whether this node needs no token: its pool is open to all nodes, or the broker is embedded.

    Only this user can open the embedded broker's socket, so its agent was started by `manage.py up`.
    """
    is_free = Pool.objects.filter(name=settings.NODE_POOL, joins_freely=True).exists()
    return bool(settings.IS_BROKER_EMBEDDED) or is_free


def _redeem(text: str) -> NodeToken:
    """Use up a join token. A conditional UPDATE decides between two nodes with the same token."""
    unused = NodeToken.objects.filter(
        sha256=_hash(text), used_at=None, revoked_by="", expires_at__gt=timezone.now()
    )
    if not unused.update(used_at=timezone.now()):
        raise JoinError(
            "The join token is unknown, used, revoked or expired. Ask an admin for a new one: "
            "manage.py node token POOL."
        )
    return NodeToken.objects.select_related("pool").get(sha256=_hash(text))


def _admit_known(node: Node, secret: str, ids: dict[str, str]) -> Pool:
    if node.admin_state == AdminState.RETIRED:
        raise JoinError(
            f"Node {node.name} was retired ({node.admin_reason}). Join as a new node from an empty folder."
        )
    if node.secret_sha256 and not secrets.compare_digest(node.secret_sha256, _hash(secret)):
        raise JoinError(f"The id {node.id} belongs to another node; the key in this folder is not its key.")
    is_moved = bool(node.machine_id) and node.machine_id != ids["machine_id"]
    if is_moved and Node.objects.filter(id=node.id, heartbeat_at__gt=alive_since()).exists():
        raise JoinError(
            f"Node {node.name} runs on another machine, so this folder is a copy. Join as a new node from an empty "
            "folder."
        )
    what = "moved to another machine" if is_moved else "restarted" if node.boot_id != ids["boot_id"] else ""
    if what and node.boot_id:
        kind = f"node.{what.split()[0]}"
        NodeEvent.objects.create(node=node, actor=f"agent:{node.name}", kind=kind, text=f"The node {what}.")
    Node.objects.filter(id=node.id).update(secret_sha256=_hash(secret), **ids)
    if _joins_freely():  # its settings name the pool
        return Pool.objects.get_or_create(name=settings.NODE_POOL)[0]
    return node.pool


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()

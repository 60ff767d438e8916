"""Audit log: who changed people, teams and tokens, from where.

Each entry holds the hash of the one before, so that a changed or deleted entry shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.utils import timezone

from jobs.models import AuditEntry

CHAIN_LOCK = 0x4657_4155  # of PostgreSQL's advisory locks
BATCH = 2000


class Source(NamedTuple):
    """Who does something, and from which address."""

    actor: str
    address: str = ""


SERVER = Source("server")  # a command on the server


def record(source: Source, code: str, target: str, values: Mapping[str, Any] | None = None) -> AuditEntry:
    """Append an entry, in the transaction of the change. `code` is a key of TITLES."""
    if code not in TITLES:
        raise ValueError(f"'{code}' has no title")
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CHAIN_LOCK])
        last = AuditEntry.objects.order_by("-id").values_list("sha256", flat=True).first() or ""
        entry = AuditEntry(
            at=timezone.now(), actor=source.actor[:150], address=source.address[:64], code=code,
            target=target[:200], values=dict(values or {}), previous_sha256=last,
        )  # fmt: skip
        entry.sha256 = compute_hash(entry)
        entry.save(force_insert=True)
    return entry


def compute_hash(entry: AuditEntry) -> str:
    """SHA-256 over the entry and the hash of the one before."""
    at: datetime = entry.at
    content = [at.timestamp(), entry.actor, entry.address, entry.code, entry.target, entry.values]
    text = json.dumps([entry.previous_sha256, *content], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Verification(NamedTuple):
    """Number of entries, and the first one that does not fit; None if all do."""

    num_entries: int
    broken: AuditEntry | None


def verify() -> Verification:
    """Check every entry against the one before, oldest first."""
    previous, number = "", 0
    for entry in AuditEntry.objects.order_by("id").iterator(chunk_size=BATCH):
        if entry.previous_sha256 != previous or entry.sha256 != compute_hash(entry):
            return Verification(number, entry)
        previous, number = entry.sha256, number + 1
    return Verification(number, None)


TITLES = {
    "token.created": "API token created",
    "token.revoked": "API token revoked",
    "member.added": "Member added",
    "member.role_changed": "Role changed",
    "member.removed": "Member removed",
    "team.created": "Team created",
    "team.renamed": "Team renamed",
    "invitation.created": "Invitation created",
    "invitation.revoked": "Invitation revoked",
    "invitation.accepted": "Invitation accepted",
    "person.created": "Account created",
    "person.deactivated": "Account deactivated",
    "person.activated": "Account activated",
    "person.admin_granted": "Admin rights granted",
    "person.admin_revoked": "Admin rights revoked",
    "person.login_link_created": "Login link created",
    "person.profile_changed": "Profile changed",
    "person.password_changed": "Password changed",
    "person.sessions_ended": "Sessions signed out",
    "login.succeeded": "Signed in",
    "login.failed": "Sign-in refused",
}

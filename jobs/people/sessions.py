"""Sessions of a person: browsers that are signed in, and their end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.models import User
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.utils import timezone

from jobs.models import UserSession
from jobs.people import audit

CLIENT_KEY = "client"  # in the session's data
AGENT_CHARS = 300
# The first that a User-Agent names: several browsers also name those that they descend from.
BROWSERS = (
    ("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"),
)  # fmt: skip
SYSTEMS = (
    ("Android", "Android"), ("iPhone|iPad", "iOS"), ("Mac OS", "macOS"), ("Windows", "Windows"), ("Linux", "Linux"),
)  # fmt: skip


@dataclass(frozen=True)
class SignedIn:
    """A browser that is signed in. Empty texts and None: not recorded."""

    is_current: bool
    address: str
    browser: str
    since: datetime | None
    until: datetime


def remember_client(session: SessionBase, address: str, agent: str) -> None:
    """Record the browser of a new session."""
    session[CLIENT_KEY] = {"address": address, "agent": agent[:AGENT_CHARS], "at": timezone.now().timestamp()}


def list_of(user: User, current_key: str | None) -> list[SignedIn]:
    """The person's open sessions, this one first, then newest first."""
    rows = UserSession.objects.filter(user_id=user.pk, expire_date__gt=timezone.now())
    found = [_read(row, current_key) for row in rows.order_by("-expire_date")]
    return sorted(found, key=lambda one: not one.is_current)


def end_others(user: User, current_key: str | None, source: audit.Source) -> int:
    """Delete the person's sessions but this one; returns how many were open."""
    with transaction.atomic():
        others = UserSession.objects.filter(user_id=user.pk).exclude(session_key=current_key)
        number = others.filter(expire_date__gt=timezone.now()).count()
        others.delete()
        if number:
            audit.record(source, "person.sessions_ended", user.get_username(), {"sessions": number})
    return number


def _read(row: UserSession, current_key: str | None) -> SignedIn:
    client = row.get_decoded().get(CLIENT_KEY, {})
    at = client.get("at")
    return SignedIn(
        is_current=row.session_key == current_key,
        address=client.get("address", ""),
        browser=describe_browser(client.get("agent", "")),
        since=datetime.fromtimestamp(at, tz=timezone.get_current_timezone()) if at else None,
        until=row.expire_date,
    )


def describe_browser(agent: str) -> str:
    """'Firefox on Linux'; the text itself where neither is known."""
    browser = next((title for mark, title in BROWSERS if f"{mark}/" in agent), "")
    system = next((title for mark, title in SYSTEMS if re.search(mark, agent)), "")
    return " on ".join(part for part in (browser, system) if part) or agent[:60]

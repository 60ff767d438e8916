"""Rate limits by kind of request and caller, counted in Django's cache."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache

from dashboard.server.env import VARIABLES

WINDOW_S = 60


@dataclass(frozen=True)
class RateLimit:
    """At most `settings.<setting>` requests a minute of one caller; 0: any number."""

    name: str
    setting: str
    what: str
    methods: frozenset[str]
    paths: re.Pattern[str]
    by_address: bool = False


POSTED = frozenset({"POST"})
LIMITS = (
    RateLimit(
        "submit",
        "SUBMITS_PER_MIN",
        "jobs or sweeps submitted",
        POSTED,
        re.compile(r"/submit/|/sweeps/submit/|/api/v1/(jobs|sweeps)|(/api/v1)?/jobs/[^/]+/retry/?"),
    ),
    RateLimit(
        "ingest",
        "INGESTS_PER_MIN",
        "deliveries",
        POSTED,
        re.compile(r"/api/v1/runs/[^/]+/points|/(ajax-)?api/2\.0/mlflow/runs/log-[a-z]+"),
    ),
    RateLimit(
        "export",
        "EXPORTS_PER_MIN",
        "exports",
        frozenset({"GET"}),
        re.compile(
            r"/api/v1/runs/[^/]+/(export|checkpoints/[^/]+/files)|/runs/[^/]+/checkpoints/.*|/(accounting|accuracy)/csv/"
        ),
    ),
    RateLimit(
        "login",
        "LOGINS_PER_MIN",
        "attempts to log in",
        POSTED,
        re.compile(r"/login/|/admin/login/"),
        by_address=True,
    ),
    RateLimit(
        "login by link",
        "LOGINS_PER_MIN",
        "attempts to log in",
        frozenset({"GET"}),
        re.compile(r"/login/[^/]+/"),
        by_address=True,
    ),
)


class TooManyRequests(Exception):
    """More requests of a kind than a caller may send in a minute; the message is the sentence."""

    def __init__(self, sentence: str, retry_after_s: int) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


def check(method: str, path: str, credential: str, address: str) -> None:
    """Count a request. `credential`: the caller's Authorization header or session key, '' without. Raises
    TooManyRequests."""
    for limit in LIMITS:
        if method in limit.methods and limit.paths.fullmatch(path):
            return _count(limit, address if limit.by_address or not credential else credential)


def _count(limit: RateLimit, caller: str) -> None:
    most: int = getattr(settings, limit.setting)
    if not most:
        return
    window, passed_s = divmod(time.time(), WINDOW_S)
    key = f"rate:{limit.name.replace(' ', '-')}:{hashlib.sha256(caller.encode()).hexdigest()[:24]}:{int(window)}"
    cache.add(key, 0, WINDOW_S + 5)
    try:
        number = cache.incr(key)
    except ValueError:  # the cache has dropped it
        return
    if number > most:
        left_s = max(1, round(WINDOW_S - passed_s))
        raise TooManyRequests(
            f"More than {most:,} {limit.what} in a minute. Try again in {left_s} s. "
            f"An admin can raise {_variable(limit.setting)}.",
            left_s,
        )


def _variable(setting: str) -> str:
    return next((name for name in VARIABLES if name.endswith(setting)), setting)


def credential_of(meta: Mapping[str, str], cookies: Mapping[str, str]) -> str:
    """The credential of a request of Django's. It need not be valid: who invents one per request gets 401."""
    return meta.get("HTTP_AUTHORIZATION") or cookies.get(settings.SESSION_COOKIE_NAME, "")

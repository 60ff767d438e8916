"""Health endpoints: whether this process answers, and whether it can serve people."""

from __future__ import annotations

import time

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from dashboard.server import readiness
from dashboard.server.replies import json_reply, text_reply

KEPT_S = 1.0  # a reply serves all askers of the next second: asking needs no account

_last: tuple[float, list[readiness.Check]] = (-KEPT_S, [])


@login_not_required
@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while this process answers. Reads nothing else."""
    return text_reply("ok\n")


@login_not_required
@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 if every check passes, else 503. Reasons are for admins: strangers see names and states."""
    global _last
    now = time.monotonic()
    if now - _last[0] >= KEPT_S:
        _last = now, readiness.check_all()
    checks = _last[1]
    is_ready = all(check.problem == "" for check in checks)
    # Without a database no admin can be recognised.
    shows_problems = not checks[0].problem and getattr(request.user, "is_staff", False)
    body = {"ready": is_ready, "checks": {check.name: _describe(check, shows_problems) for check in checks}}
    return json_reply(body, 200 if is_ready else 503)


def _describe(check: readiness.Check, shows_problem: bool) -> dict[str, object]:
    problem: dict[str, object] = {"problem": check.problem} if check.problem and shows_problem else {}
    return {"ok": not check.problem, **problem}

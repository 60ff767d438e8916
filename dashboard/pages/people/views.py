"""Sign-in by a one-time link.

Sign-in by password and sign-out are Django's own.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from dashboard.access import get_source
from jobs.people import accounts, audit, sessions

LINK_INVALID = "This link is not valid: it was used, is older than 15 minutes, or was never issued."


class SignIn(LoginView):
    """Django's, which shows its form even while no password can be checked."""

    redirect_authenticated_user = True

    def get(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponse:
        accounts.check_database()
        return super().get(request, *arguments, **options)

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        record_sign_in(self.request, "password")
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        name = form.data.get("username", "")[:150]
        source = audit.Source(name, self.request.META.get("REMOTE_ADDR", ""))
        audit.record(source, "login.failed", name)
        return super().form_invalid(form)


@login_not_required
@never_cache
@require_GET
def login_by_link(request: HttpRequest, token: str) -> HttpResponse:
    """Sign in by a link. GET only: a HEAD request of a link preview must not consume it."""
    user = accounts.redeem_login_link(token)
    if user is None:
        context = {"form": AuthenticationForm(), "link_problem": LINK_INVALID}
        return render(request, "registration/login.html", context, status=404)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    record_sign_in(request, "link")
    return redirect(settings.LOGIN_REDIRECT_URL)


def record_sign_in(request: HttpRequest, method: str) -> None:
    """Record the browser in its new session, and the sign-in in the audit log."""
    source = get_source(request)
    sessions.remember_client(request.session, source.address, request.headers.get("User-Agent", ""))
    audit.record(source, "login.succeeded", source.actor, {"method": method})

"""Invitations: created by a lead, accepted with the link."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.access import get_source
from dashboard.html.responses import answer
from dashboard.pages.people.views import record_sign_in
from dashboard.pages.teams.views import find_led_team, render_team
from jobs.models import Invitation
from jobs.people import members, persons
from jobs.people.accounts import PeopleError
from jobs.people.audit import Source

INVALID = "This invitation is not valid: it was used, revoked or is too old. Ask for a new one."


@never_cache
@require_POST
def invite(request: HttpRequest, slug: str) -> HttpResponse:
    """Create an invitation; only this response holds its link."""
    team = find_led_team(request, slug)
    days = request.POST.get("days", "")
    try:
        number = int(days) if days.isascii() and days.isdigit() and len(days) < 6 else 0
        token = members.invite(team, request.POST.get("role", ""), number, get_source(request))
    except PeopleError as error:
        return render_team(request, team, problem=error, form="invite")
    url = settings.BASE_URL.rstrip("/") + reverse("invitation", args=[token])
    return render_team(request, team, invitation_url=url)


@require_POST
def revoke(request: HttpRequest, slug: str, invitation_id: int) -> HttpResponse:
    team = find_led_team(request, slug)
    row = get_object_or_404(Invitation, id=invitation_id, team=team)
    page = reverse("team", args=[slug])
    try:
        members.revoke_invitation(row, get_source(request))
    except PeopleError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, "The invitation is revoked; its link no longer works.", page)


@login_not_required
@never_cache
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Show an invitation; a POST joins the team, with a new account for somebody who is not signed in."""
    invitation = members.find_invitation(token)
    if invitation is None:
        return render(request, "teams/invitation.html", {"problem": INVALID}, status=404)
    form: BaseUserCreationForm[User] = BaseUserCreationForm(request.POST or None)
    context = {"invitation": invitation, "form": form}
    if request.method != "POST":
        return render(request, "teams/invitation.html", context)
    if not request.user.is_authenticated and not form.is_valid():
        return render(request, "teams/invitation.html", context, status=422)
    try:
        _join(request, invitation, form)
    except PeopleError as error:
        return render(request, "teams/invitation.html", {"problem": str(error)}, status=409)
    messages.success(request, f"Welcome to team {invitation.team.name}.")
    return redirect(settings.LOGIN_REDIRECT_URL)


def _join(request: HttpRequest, invitation: Invitation, form: BaseUserCreationForm[User]) -> None:
    """Accept the invitation as the signed-in person, or as a new one who is then signed in. Raises PeopleError."""
    if request.user.is_authenticated:
        members.accept(invitation, request.user, get_source(request))
        return
    user = form.save(commit=False)
    source = Source(user.get_username(), request.META.get("REMOTE_ADDR", ""))
    user = persons.create_with_invitation(user, invitation, source)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    record_sign_in(request, "invitation")

"""Pages of teams: the list, and one team with its members, invitations and limits."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.access import get_scope, get_source
from dashboard.html.responses import answer
from jobs.models import Membership, Pool, Share, Team
from jobs.models.people import Role
from jobs.people import members, storage
from jobs.people.accounts import PeopleError
from jobs.people.sharing import is_lead_or_admin

ROLE_HELP = {
    Role.VIEWER: "sees everything of the team and changes nothing",
    Role.MEMBER: "submits jobs, logs runs, changes the team's work",
    Role.LEAD: "also manages the members and what others wrote",
}


@require_http_methods(["GET", "HEAD", "POST"])
def teams(request: HttpRequest) -> HttpResponse:
    """Own teams; an admin sees all and creates new ones by POST."""
    scope, problem = get_scope(request), None
    if request.method == "POST":
        scope.must_be_admin()
        try:
            team = members.create_team(request.POST.get("name", ""), get_source(request), lead=scope.user)
            return redirect("team", team.slug)
        except PeopleError as error:
            problem = error
    shown = scope.known_teams().annotate(num_members=Count("memberships", distinct=True))
    roles = dict(Membership.objects.filter(user=scope.user).values_list("team_id", "role"))
    context = {
        "rows": [(team, roles.get(team.id, "")) for team in shown],
        "is_admin": scope.is_admin,
        "problem": problem,
        "typed": request.POST.get("name", ""),
    }
    return render(request, "teams/list.html", context, status=422 if problem else 200)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def team(request: HttpRequest, slug: str) -> HttpResponse:
    """One team. A POST renames it."""
    if request.method != "POST":
        return render_team(request, find_team(request, slug))
    found = find_led_team(request, slug)
    try:
        members.rename_team(found, request.POST.get("name", ""), get_source(request))
    except PeopleError as error:
        return render_team(request, found, problem=error, form="rename")
    return redirect("team", slug)


@require_POST
def add_member(request: HttpRequest, slug: str) -> HttpResponse:
    found = find_led_team(request, slug)
    name, role = request.POST.get("username", "").strip(), request.POST.get("role", "")
    try:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise PeopleError(
                f"There is no account '{name}'. Invite the person by a link instead.", "username"
            )
        members.add(found, user, role, get_source(request))
    except PeopleError as error:
        return render_team(request, found, problem=error, form="add")
    messages.success(request, f"{name} is now {role} of team {found.name}.")
    return redirect("team", slug)


@require_POST
def change_member(request: HttpRequest, slug: str, member_id: int) -> HttpResponse:
    found = find_led_team(request, slug)
    row = get_object_or_404(Membership, id=member_id, team=found)
    role = request.POST.get("role", "")
    try:
        members.set_role(row, role, get_source(request))
    except PeopleError as error:
        return answer(request, str(error), _page(found), is_refused=True)
    return answer(request, f"{row.user.get_username()} is now {role}.", _page(found))


@require_POST
def remove_member(request: HttpRequest, slug: str, member_id: int) -> HttpResponse:
    """Remove a member; everybody may remove themselves."""
    found = find_team(request, slug)
    row = get_object_or_404(Membership, id=member_id, team=found)
    is_self = row.user_id == get_scope(request).user.pk
    if not is_self and not is_lead_or_admin(get_scope(request).user, found):
        raise Http404
    try:
        members.remove(row, get_source(request))
    except PeopleError as error:
        return answer(request, str(error), _page(found), is_refused=True)
    done = f"{row.user.get_username()} is no longer in team {found.name}."
    return answer(request, done, reverse("teams") if is_self else _page(found))


def find_team(request: HttpRequest, slug: str) -> Team:
    """A team of the caller; for an admin any team. Raises Http404."""
    return get_object_or_404(get_scope(request).known_teams(), slug=slug)


def find_led_team(request: HttpRequest, slug: str) -> Team:
    """A team whose members the caller may change. Raises Http404."""
    found = find_team(request, slug)
    if not is_lead_or_admin(get_scope(request).user, found):
        raise Http404
    return found


def render_team(
    request: HttpRequest, team: Team, *, problem: PeopleError | None = None, form: str = "",
    invitation_url: str = "",
) -> HttpResponse:  # fmt: skip
    scope = get_scope(request)
    context: dict[str, Any] = {
        "team": team,
        "members": team.memberships.select_related("user").order_by("user__username"),
        "may_manage": is_lead_or_admin(scope.user, team),
        "roles": [(role.value, ROLE_HELP[role]) for role in reversed(Role)],
        "invitations": members.open_invitations(team),
        "invitation_url": invitation_url,
        "problem": problem,
        "form": form,
        "typed": request.POST,
        "use": storage.get_use(team),
        "shares": Share.objects.filter(team=team).select_related("pool").order_by("pool__name"),
        "has_pools": Pool.objects.exists(),
    }
    return render(request, "teams/page.html", context, status=422 if problem else 200)


def _page(team: Team) -> str:
    return reverse("team", args=[team.slug])

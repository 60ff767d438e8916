"""Page of all accounts, for admins."""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope, get_source
from dashboard.html.responses import answer
from jobs.people import accounts, persons
from jobs.people.accounts import PeopleError

PEOPLE_A_PAGE = 50
LOGIN_LINK = "login_link"


@require_safe
def people(request: HttpRequest) -> HttpResponse:
    get_scope(request).must_be_admin()
    return _render(request)


@never_cache
@require_POST
def act(request: HttpRequest, user_id: int) -> HttpResponse:
    """Change an account, or create a login link for it, which only this response holds."""
    get_scope(request).must_be_admin()
    user = get_object_or_404(User, id=user_id)
    action = request.POST.get("action", "")
    if action == LOGIN_LINK:
        token = persons.make_login_link(user, get_source(request))
        url = settings.BASE_URL.rstrip("/") + reverse("login-link", args=[token])
        return _render(request, link=url, linked=user)
    try:
        persons.act(user, action, get_source(request))
    except PeopleError as error:
        return answer(request, str(error), reverse("people"), is_refused=True)
    return answer(request, f"{user.get_username()}: done.", reverse("people"))


def _render(request: HttpRequest, link: str = "", linked: User | None = None) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    rows = User.objects.order_by("username").annotate(
        num_teams=Count("memberships", distinct=True), num_tokens=Count("api_tokens", distinct=True)
    )
    if text:
        rows = rows.filter(
            Q(username__icontains=text) | Q(email__icontains=text) | Q(last_name__icontains=text)
            | Q(first_name__icontains=text)
        )  # fmt: skip
    page = Paginator(rows, PEOPLE_A_PAGE).get_page(request.GET.get("page"))
    minutes = int(accounts.LOGIN_LINK_LIFE.total_seconds() // 60)
    context = {"page": page, "q": text, "link": link, "linked": linked, "link_minutes": minutes}
    return render(request, "teams/people.html", context)

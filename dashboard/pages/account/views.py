"""A person's account page: profile, password, sessions, teams."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from dashboard.access import get_scope, get_source
from dashboard.html.responses import answer
from jobs.models import Membership
from jobs.people import persons, sessions
from jobs.people.accounts import PeopleError

PROFILE_FIELDS = ("first_name", "last_name", "email")


@never_cache
@require_safe
def account(request: HttpRequest) -> HttpResponse:
    return _render(request)


@require_POST
def profile(request: HttpRequest) -> HttpResponse:
    typed = {name: request.POST.get(name, "") for name in PROFILE_FIELDS}
    try:
        changed = persons.change_profile(get_scope(request).user, source=get_source(request), **typed)
    except PeopleError as error:
        return _render(request, typed=typed, problem=error, status=422)
    messages.success(request, "Saved." if changed else "Nothing was changed.")
    return redirect("account")


@sensitive_post_parameters()
@require_POST
def password(request: HttpRequest) -> HttpResponse:
    form = _password_form(request)
    if not form.is_valid():
        return _render(request, password_form=form, status=422)
    user = get_scope(request).user
    persons.change_password(user, form.cleaned_data["new_password1"], get_source(request))
    update_session_auth_hash(request, user)
    sessions.end_others(user, request.session.session_key, get_source(request))
    messages.success(request, "Your password is changed. All your other sessions are signed out.")
    return redirect("account")


@require_POST
def end_sessions(request: HttpRequest) -> HttpResponse:
    """Sign out every other browser of this person."""
    number = sessions.end_others(get_scope(request).user, request.session.session_key, get_source(request))
    done = (
        f"{number} other session{'s' if number != 1 else ''} signed out."
        if number
        else "There is no other session."
    )
    return answer(request, done, "account")


def _password_form(request: HttpRequest) -> SetPasswordForm:
    """Asks for the old password where there is one."""
    user = get_scope(request).user
    form = PasswordChangeForm if user.has_usable_password() else SetPasswordForm
    return form(user, request.POST or None)


def _render(
    request: HttpRequest, *, typed: dict[str, str] | None = None, problem: PeopleError | None = None,
    password_form: SetPasswordForm | None = None, status: int = 200,
) -> HttpResponse:  # fmt: skip
    user = get_scope(request).user
    context = {
        "typed": typed or {name: getattr(user, name) for name in PROFILE_FIELDS},
        "problem": problem,
        "password_form": password_form or _password_form(request),
        "memberships": Membership.objects.filter(user=user).select_related("team").order_by("team__name"),
        "sessions": sessions.list_of(user, request.session.session_key),
    }
    return render(request, "account/page.html", context, status=status)

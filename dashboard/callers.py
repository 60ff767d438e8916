"""Authentication: the scope of a request's token or session."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import REASON_NO_CSRF_COOKIE, CsrfViewMiddleware
from ninja.errors import AuthenticationError, HttpError
from ninja.security import HttpBearer, SessionAuth

from dashboard.access import Scope
from dashboard.server import csrf_reasons
from dashboard.token_scopes import find_refusal
from jobs.people import api_tokens

UNKNOWN_TOKEN = "This token is not known, or it has expired."


class BearerToken(HttpBearer):
    """Comes before the session: an invalid token ends the request, even with a valid session cookie."""

    def authenticate(self, request: HttpRequest, token: str) -> Scope:
        scope = scope_from_token(token)
        if scope is None:
            raise AuthenticationError(message=UNKNOWN_TOKEN)
        if refusal := find_refusal(scope.token_scope, request.method or "", request.path):
            raise HttpError(403, refusal)
        return scope


class Csrf(CsrfViewMiddleware):
    """Returns the reason of a refusal; Django's own renders a whole page."""

    def _reject(self, request: HttpRequest, reason: str) -> str:
        return reason


def _csrf_sentence(request: HttpRequest, reason: str) -> str:
    if "token" in reason or reason == REASON_NO_CSRF_COOKIE:
        return f"{reason} Send it as the header X-CSRFToken, or use a token of the API."
    return f"CSRF: {csrf_reasons.explain(request, reason)[1]} Or use a token of the API."


def _no_view(request: HttpRequest) -> HttpResponse:
    """Stands where a middleware expects the view, which is never called."""
    return HttpResponse()


class BrowserSession(SessionAuth):
    def _get_key(self, request: HttpRequest) -> str | None:
        check = Csrf(_no_view)
        check.process_request(request)
        if reason := check.process_view(request, _no_view, (), {}):
            raise HttpError(403, _csrf_sentence(request, str(reason)))
        return request.COOKIES.get(self.param_name)

    def authenticate(self, request: HttpRequest, key: str | None) -> Scope | None:
        return Scope(request.user) if request.user.is_authenticated else None


CREDENTIALS = (BearerToken(), BrowserSession())


def identify(request: HttpRequest) -> Scope | None:
    """The caller of a view outside the API's operations. Raises AuthenticationError, HttpError."""
    return next((scope for read in CREDENTIALS if (scope := read(request))), None)


def scope_from_token(token: str) -> Scope | None:
    """None for a token that is unknown or has expired, or whose user has left its team."""
    found = api_tokens.find(token)
    return Scope(found.user, found.team, found.scope) if found else None


def scope_from_session(session_key: str) -> Scope | None:
    """The scope of a session key, outside of Django's middleware. None for an expired or anonymous session."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return Scope(user) if isinstance(user, User) and user.is_active else None


def token_from_header(header: str) -> str | None:
    """The token of an Authorization header: Bearer, or Basic with the token as the password. None without either."""
    kind, _, credentials = header.partition(" ")
    if kind.lower() == "bearer":
        return credentials.strip()
    if kind.lower() != "basic":
        return None
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except ValueError:  # no base64, or no UTF-8 in it
        return ""


def is_known(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the headers of a request name a valid token or session."""
    if token := token_from_header(headers.get(b"authorization", b"").decode("latin-1")):
        return scope_from_token(token) is not None
    key = session_key(headers)
    return key is not None and scope_from_session(key) is not None


def session_key(headers: Mapping[bytes, bytes]) -> str | None:
    """The key of the session in the cookies of a request."""
    try:
        cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
    except CookieError:
        return None
    found = cookies.get(settings.SESSION_COOKIE_NAME)
    return found.value if found else None

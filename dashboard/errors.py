"""Errors of every request in the form of its part: page, API or MLflow's API."""

from __future__ import annotations

import sys

from django.core.exceptions import BadRequest, DisallowedHost, RequestDataTooBig
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from dashboard.mlflow.errors import MlflowError, code_of_status, invalid
from dashboard.pages.people import error_views
from dashboard.server import csrf_reasons, rate_limits
from dashboard.server.middleware import Middleware
from dashboard.server.replies import refusal
from dashboard.server.threads import Message, Send
from engine.request_limits import BODY_BYTES

MLFLOW = ("/api/2.0/mlflow", "/ajax-api/2.0/mlflow", "/api/3.0/mlflow")
NOT_UNDERSTOOD = "This request could not be understood."
DATABASE_AWAY = "The database does not respond. Nothing was changed. Try again in a few seconds."
RETRY_AFTER_S = 2
SENTENCES = {
    400: NOT_UNDERSTOOD,
    403: "You have no permission for this.",
    404: "Not found, or not accessible to you.",
    405: "This address does not take the method {method}.",
    413: "The request is too large.",
    500: "Server error. The server's log has the details.",
    503: "The server cannot answer now. Try again in a few seconds.",
}


def is_mlflow(path: str) -> bool:
    return path.startswith(MLFLOW)


def is_api(path: str) -> bool:
    return path.startswith("/api/") or path == "/api"


def reply(request: HttpRequest, status: int, sentence: str = "", title: str = "") -> HttpResponse:
    """A refusal in the form of the part that was asked."""
    is_generic = not sentence
    if is_generic:
        generic = SENTENCES.get(status, SENTENCES[500 if status >= 500 else 400])
        sentence = generic.format(method=request.method)
    if is_mlflow(request.path):
        response = MlflowError(code_of_status(status), sentence).response()
        response.status_code = status
    elif is_api(request.path):
        response = refusal(status, sentence)
    else:
        shown = error_views.SENTENCES.get(status, sentence) if is_generic else sentence
        response = error_views.problem(request, status, shown, title)
    if status in (429, 503):
        response.headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return response


class ErrorForm(Middleware):
    """The outermost middleware: no part answers an error in the form of another, or with an empty body."""

    def adapt(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if response.status_code < 400 or isinstance(response, StreamingHttpResponse):
            return response
        is_json = "json" in response.get("Content-Type", "")
        is_machine = is_mlflow(request.path) or is_api(request.path)
        is_empty = not response.content and "HX-Trigger" not in response.headers and request.method != "HEAD"
        if not (is_machine and not is_json) and not is_empty:
            return response
        adapted = reply(request, response.status_code)
        for name in ("Allow", "Retry-After", "WWW-Authenticate"):
            if name in response.headers:
                adapted[name] = response[name]
        return adapted


class RateLimits(Middleware):
    """Refuses more requests of one caller than dashboard.server.rate_limits allows."""

    def check(self, request: HttpRequest) -> HttpResponse | None:
        credential = rate_limits.credential_of(request.META, request.COOKIES)
        try:
            rate_limits.check(
                request.method or "", request.path, credential, request.META.get("REMOTE_ADDR", "")
            )
        except rate_limits.TooManyRequests as refused:
            response = reply(request, 429, str(refused))
            response["Retry-After"] = str(refused.retry_after_s)
            return response
        return None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 with the sentence where one of our limits was exceeded; 413 for a body that was not read."""
    if isinstance(exception, RequestDataTooBig):
        size = int(request.META.get("CONTENT_LENGTH") or BODY_BYTES + 1)
        if is_mlflow(request.path):
            return invalid(BODY_BYTES.error(size)).response()
        return (
            reply(request, 413, BODY_BYTES.error(size))
            if is_api(request.path)
            else error_views.too_large(request, size)
        )
    if isinstance(exception, DisallowedHost):
        host = request.META.get("HTTP_HOST", "")[:100]
        return reply(
            request,
            400,
            f"This server is not known as {host!r}. Its admin can add the name to ALLOWED_HOSTS.",
        )
    return reply(request, 400, str(exception) if isinstance(exception, BadRequest) else "")


def server_error(request: HttpRequest) -> HttpResponse:
    """503 while the database does not respond, else 500. Reads no database."""
    error = sys.exc_info()[1]
    if is_database_away(error):
        return reply(request, 503, DATABASE_AWAY)
    return reply(request, 500)


def is_database_away(error: BaseException | None) -> bool:
    """Whether the same request may succeed later: no connection, a locked or a full database."""
    return isinstance(error, OperationalError | InterfaceError) or (
        isinstance(error, DatabaseError) and "pool" in type(error.__cause__).__name__.lower()
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """The true reason: another origin, often a proxy that is not trusted, or a form of an earlier login."""
    title, sentence = csrf_reasons.explain(request, reason)
    return reply(request, 403, f"{sentence} Nothing was changed.", title)


async def send_refusal(scope: Message, send: Send, status: int, sentence: str) -> None:
    """Answer a request that Django does not get, and close its connection: the rest of its body is not read."""
    request = HttpRequest()
    request.path, request.method = scope["path"], scope["method"]
    request.META["HTTP_ACCEPT"] = dict(scope["headers"]).get(b"accept", b"").decode("latin-1")
    response = reply(request, status, sentence)
    headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
    length = str(len(response.content)).encode()
    headers += [(b"content-length", length), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": response.content})


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return reply(request, 404)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return reply(request, 403)

"""Middleware: the limits of an address, and the content security policy."""

from __future__ import annotations

from collections.abc import Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from engine.request_limits import QUERY_CHARS

# Scripts and styles of our own only, nothing inline that is not marked.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Middleware:
    """Works in the sync and in the async chain, so that live streams keep to the event loop."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        refused = self.check(request)
        if self.is_async:
            return self._later(request, refused)  # type: ignore[return-value]
        return refused or self.adapt(request, self.get_response(request))

    async def _later(self, request: HttpRequest, refused: HttpResponse | None) -> HttpResponse:
        return refused or self.adapt(request, await self.get_response(request))  # type: ignore[misc]

    def check(self, request: HttpRequest) -> HttpResponse | None:
        """Returns a refusal, or raises what refuses the request."""
        return None

    def adapt(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        return response


class AddressLimits(Middleware):
    """Refuses a query that is too long, and NUL characters, which no column of a database can be compared with."""

    def check(self, request: HttpRequest) -> None:
        query = request.META.get("QUERY_STRING", "")
        if broken := QUERY_CHARS.error(len(query)):
            raise BadRequest(broken)
        if "\0" in request.path_info or "%00" in query:
            raise BadRequest("The address holds a NUL character.")


class ContentSecurityPolicy(Middleware):
    def adapt(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response

"""Reasons of refused forms, and the setting that helps."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.middleware import csrf


def explain(request: HttpRequest, reason: str) -> tuple[str, str]:
    """Title and sentence for a reason of Django's CSRF check."""
    template, _, _ = csrf.REASON_BAD_ORIGIN.partition("%s")
    own = f"{request.scheme}://{request.META.get('HTTP_HOST', '')[:100]}"
    if reason.startswith(template):
        origin = request.META.get("HTTP_ORIGIN", "")[:100]
        return "The form came from another address", (
            f"The browser sent it from {origin}, and this server takes itself for {own}. {_advice(request, origin)}"
        )
    if "Referer" in reason:
        return "The form came from another address", (
            f"The browser does not say that it comes from {own}. Allow it to send the Referer header to this site, "
            "or open the page under the server's own address."
        )
    if reason == csrf.REASON_NO_CSRF_COOKIE:
        return "The browser sent no cookie", (
            "Allow cookies for this site, reload the page and send the form again. "
            "A server started with an https BASE_URL sets them over https only."
        )
    return "This form has expired", (
        "You signed in or out after the page was opened. Go back, reload the page and send the form again."
    )


def _advice(request: HttpRequest, origin: str) -> str:
    peer = request.META.get("REMOTE_ADDR", "")
    if "HTTP_X_FORWARDED_PROTO" in request.META and not settings.TRUSTED_PROXIES:
        return (
            f"The request came through a proxy at {peer} that this server does not trust. If the proxy is yours, "
            f"start the server with FOURWALLS_TRUSTED_PROXIES={peer}, or with CSRF_TRUSTED_ORIGINS={origin}."
        )
    return (
        f"If {origin} is a proxy of yours, start the server with CSRF_TRUSTED_ORIGINS={origin}, "
        "or let the proxy send X-Forwarded-Proto and set FOURWALLS_TRUSTED_PROXIES to its address."
    )

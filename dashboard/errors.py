"""Django's 400 and 413 in the form of pages, the API or MLflow's API."""

from __future__ import annotations

from django.core.exceptions import BadRequest, RequestDataTooBig
from django.http import HttpRequest, HttpResponse

from dashboard.mlflow.errors import invalid
from dashboard.pages.people import error_views
from dashboard.server.replies import refusal
from engine.request_limits import BODY_BYTES

NOT_UNDERSTOOD = "This request could not be understood."


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """400 with the sentence where one of our limits was exceeded; 413 for a body that was not read."""
    size = int(request.META.get("CONTENT_LENGTH") or BODY_BYTES + 1)
    is_large = isinstance(exception, RequestDataTooBig)
    sentence = str(exception) if isinstance(exception, BadRequest) else NOT_UNDERSTOOD
    if "/mlflow" in request.path:
        return invalid(BODY_BYTES.error(size) if is_large else sentence).response()
    if request.path.startswith("/api/"):
        return refusal(413, BODY_BYTES.error(size)) if is_large else refusal(400, sentence)
    return error_views.too_large(request, size) if is_large else error_views.bad_request(request, sentence)

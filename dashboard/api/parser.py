"""Bounded parser of JSON bodies."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser

from engine.request_limits import values_error


class BadBody(ValueError):
    """An unreadable body; the message is the sentence of the reply."""


class BoundedParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        """Raises BadBody, which django-ninja turns into an HttpError with it as the cause."""
        return read_json(request.body)


def read_json(body: bytes) -> Any:
    """The plain values of a JSON text, in which NaN and infinities may be written as Python does. Raises BadBody."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"The body is not readable JSON: {str(error).rstrip('.')}.") from None
    if broken := values_error(values):
        raise BadBody(broken)
    return values

"""Parser of the API's JSON bodies."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from ninja.parser import Parser

from dashboard.server.json_bodies import read_json


class BoundedParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        """Raises BadBody, which django-ninja turns into an HttpError with it as the cause."""
        return read_json(request.body)

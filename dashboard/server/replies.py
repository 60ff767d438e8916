"""Replies by kind: JSON, refusals of the API, text, CSV, files to save."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
from django.http import HttpResponse, HttpResponseBase

JSON = "application/json"
CSV = "text/csv; charset=utf-8"
PLAIN_TEXT = "text/plain; charset=utf-8"
Reply = TypeVar("Reply", bound=HttpResponseBase)


def _plain(value: Any) -> Any:
    """A SafeString as a plain text."""
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


encode = msgspec.json.Encoder(enc_hook=_plain).encode  # NaN and infinities become null


def json_reply(value: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(encode(value), status=status, content_type=JSON)


def refusal_body(detail: str, problems: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """The API's form of every error: a sentence, and for a spec each problem with its field."""
    return {"detail": detail, "problems": list(problems)}


def refusal(status: int, detail: str, problems: Sequence[dict[str, Any]] = ()) -> HttpResponse:
    return json_reply(refusal_body(detail, problems), status)


def text_reply(sentence: str, status: int = 200, content_type: str = PLAIN_TEXT) -> HttpResponse:
    return HttpResponse(sentence, status=status, content_type=content_type)


def csv_reply(name: str, rows: Iterable[Sequence[Any]]) -> HttpResponse:
    """The first row holds the heads."""
    reply = HttpResponse(content_type=CSV)
    csv.writer(reply).writerows(rows)
    return to_save(reply, name)


def to_save(reply: Reply, name: str) -> Reply:
    """The reply as a file that the browser saves under `name`, in plain ASCII."""
    reply["Content-Disposition"] = f'attachment; filename="{name}"'
    return reply

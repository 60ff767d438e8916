"""Paging of replies by tokens."""

from __future__ import annotations

import base64
from typing import Any

from dashboard.mlflow.errors import invalid
from engine.request_limits import OFFSET, whole_number


def start_from_token(token: str) -> int:
    if not token:
        return 0
    try:
        start = whole_number(base64.urlsafe_b64decode(token).decode("ascii"))
    except ValueError:  # binascii.Error is one
        start = None
    if start is None:
        raise invalid(f"Invalid page token '{token[:50]}': send the next_page_token of the page before.")
    if broken := OFFSET.error(start):
        raise invalid(broken)
    return start


def with_token(reply: dict[str, Any], start: int, size: int, *, is_more: bool) -> dict[str, Any]:
    if is_more:
        reply["next_page_token"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return reply


def refuse_bad_size(size: int, most: int) -> None:
    if not 1 <= size <= most:
        raise invalid(
            f"Invalid value {str(size)[:50]} for parameter 'max_results' supplied: "
            f"It must be at least 1 and at most {most}."
        )

"""Pages of answers: a token says where the next one begins."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dashboard.mlflow.errors import bad


def start_of(token: str) -> int:
    if not token:
        return 0
    try:
        return max(0, int(base64.urlsafe_b64decode(token).decode("ascii")))
    except (ValueError, binascii.Error):
        raise bad(
            f"Invalid page token '{token[:50]}': send the next_page_token of the page before."
        ) from None


def with_token(answer: dict[str, Any], start: int, size: int, *, is_more: bool) -> dict[str, Any]:
    if is_more:
        answer["next_page_token"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return answer


def refuse_bad_size(size: int, most: int) -> None:
    if not 1 <= size <= most:
        raise bad(
            f"Invalid value {size} for parameter 'max_results' supplied: It must be at least 1 and at most {most}."
        )

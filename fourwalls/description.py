"""Description of a run for the server, with every item checked at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from fourwalls import limits, values
from fourwalls.launch import hash_id

log = logging.getLogger("fourwalls")


def clean_id(given: object) -> str:
    """The id that the user chose, as a text; one that names no folder and no address becomes one that does, always
    the same."""
    text = values.to_text(given)
    if limits.RUN_ID.fullmatch(text):
        return text
    made = hash_id(text)
    log.warning("id=%a cannot name a run, so it becomes %s: use 1 to 64 letters, digits, '_', '.' and '-', not only "
                "dots.", text[:70], made)  # fmt: skip
    return made


def describe_run(run_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The body that creates the run. What the server would refuse is cut or left out, with a warning."""
    tags = given["tags"]
    labels = dict(tags) if isinstance(tags, Mapping) else dict.fromkeys(tags or [], "")
    labels |= {name: given[name] for name in ("group", "job_type") if given[name]}
    parent = given["parent"]
    return {
        **describe_writer(run_id, given),
        "params": params(given["config"]),
        "tags": texts(labels),
        "note": values.clean_text(given["note"], limits.NOTE_CHARS),
        "parent": None if parent is None else values.clean_text(parent, limits.KEY_CHARS),
        **({"team": values.clean_text(given["team"], limits.KEY_CHARS)} if given["team"] else {}),
    }


def describe_writer(run_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the description that every rank sends."""
    return {
        "id": run_id,
        "name": values.clean_text(given["name"], limits.KEY_CHARS),
        "project": values.clean_text(given["project"], limits.KEY_CHARS),
        "origin": "fourwalls",
        "started_at": format_time(time.time()),
    }


def format_time(at: float) -> str:
    """Unix seconds as ISO 8601 in UTC, to the millisecond."""
    whole = int(at)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((at - whole) * 1000):03d}Z"


def params(config: Any) -> dict[str, Any]:
    return _warn(*values.to_params(config))


def texts(tags: Mapping[Any, Any]) -> dict[str, str]:
    return _warn(*values.to_tags(tags))


def _warn(cleaned: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    if problems:
        more = f", and {len(problems) - 3} more" if len(problems) > 3 else ""
        log.warning("Not logged as given: %s%s.", "; ".join(problems[:3]), more)
    return cleaned

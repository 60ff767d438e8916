"""Schemas of bodies: requests refuse unknown fields."""

from __future__ import annotations

from ninja import Schema
from pydantic import ConfigDict


class RequestBody(Schema):
    """The body of a request. An unknown field is refused with its name: a misspelt one would change nothing."""

    model_config = ConfigDict(extra="forbid")


class ReplyBody(Schema):
    """The body of a reply."""

"""The table of what blocks hold for the backward pass, as engine.rank.bench.trace_constants has traced our own."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

TABLE_VERSION = 1
TABLE = Path(__file__).with_name("blocks.json")
# What the bytes per token are a linear function of: the stream's width, and one rank's share of the queries' width, of
# the keys' width, of the feed-forward width, of the heads, of heads x places; and the token itself.
SIZES = ("width", "queries", "keys", "ffn", "heads", "scores", "token")


def key_of(sublayer: str, dtype: str, norm: str, is_special: bool, has_dropout: bool, is_shared: bool) -> str:
    """`is_special`: rotary positions of an attention, the gate of a feed-forward; `is_shared`: key/value heads are."""
    marks = (
        ("special", is_special and sublayer != "cross_attention"),
        ("dropout", has_dropout),
        ("shared", is_shared and sublayer != "feed_forward"),
    )
    return " ".join((sublayer, dtype, norm, *(mark for mark, is_on in marks if is_on)))


@lru_cache(maxsize=1)
def rows() -> dict[str, dict[str, int]]:
    table = json.loads(TABLE.read_text())
    assert table["version"] == TABLE_VERSION
    found: dict[str, dict[str, int]] = table["rows"]
    return found

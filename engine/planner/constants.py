"""Table of the activations that each kind of block keeps for the backward pass.

engine.rank.bench.trace_constants measures it on the blocks of engine.rank.model.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

TABLE_VERSION = 1
TABLE = Path(__file__).with_name("blocks.json")
# Bytes per token are linear in these: width of the residual stream, and per tensor rank the width of queries, keys
# and feed-forward, the number of heads, heads x context, and a constant.
SIZES = ("width", "queries", "keys", "ffn", "heads", "scores", "token")


def row_key(
    sublayer: str, dtype: str, norm: str, is_special: bool, has_dropout: bool, is_shared: bool
) -> str:
    """`is_special`: rotary positions or a gated feed-forward; `is_shared`: queries share key/value heads."""
    options = (
        ("special", is_special and sublayer != "cross_attention"),
        ("dropout", has_dropout),
        ("shared", is_shared and sublayer != "feed_forward"),
    )
    return " ".join((sublayer, dtype, norm, *(option for option, is_on in options if is_on)))


@lru_cache(maxsize=1)
def rows() -> dict[str, dict[str, int]]:
    table = json.loads(TABLE.read_text())
    assert table["version"] == TABLE_VERSION
    found: dict[str, dict[str, int]] = table["rows"]
    return found

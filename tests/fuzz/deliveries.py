"""Seeded deliveries of points."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import msgspec

from tests.fuzz import texts


def draw_delivery(drawn: random.Random) -> tuple[bytes, dict[str, str]]:
    """A body and its headers: four of ten are good, the others odd in any of their parts."""
    is_tame = drawn.random() < 0.4

    def column(good: list[Any]) -> Any:
        return good if is_tame or drawn.random() < 0.8 else texts.value(drawn)

    def word(*good: str) -> str:
        return drawn.choice(good if is_tame else (*good, texts.text(drawn)))

    def one() -> dict[str, Any]:
        count = drawn.choice((0, 1, 5))
        found = {
            "metric": word("loss", "a/b"),
            "values": column([1.0] * count),
            "source": word("run", "rank0"),
        }
        return found | {"steps": column(list(range(count))), "times": column([1e9] * count)}

    numbers = range(drawn.choice((1, 3) if is_tame else (0, 1, 3, 101, 4_000)))
    batches = [
        {
            "seq": n if is_tame else drawn.choice((n, n, n + 1_000, 2**62, -1)),
            "series": [one() for _ in range(drawn.choice((0, 1, 4)))],
        }
        for n in numbers
    ]
    delivery = {"stream": word("w", f"w{drawn.randrange(99)}"), "batches": batches}
    body, kind = _encode(delivery, drawn, is_tame=is_tame)
    encoding = drawn.choice(("", "gzip") if is_tame else ("", "", "gzip", "zstd", "br"))
    headers = {"Content-Type": kind} | ({"Content-Encoding": encoding} if encoding else {})
    return gzip.compress(body, 1) if encoding == "gzip" else body, headers


def _encode(delivery: dict[str, Any], drawn: random.Random, *, is_tame: bool) -> tuple[bytes, str]:
    kind = drawn.choice(("json", "msgpack") if is_tame else ("json", "msgpack", "broken"))
    if kind == "broken":
        return texts.body(drawn, ("stream", "batches", "more")), "application/json"
    if kind == "msgpack":
        try:
            return msgspec.msgpack.encode(delivery), "application/msgpack"
        except (OverflowError, UnicodeEncodeError):
            pass
    return json.dumps(delivery).encode(), "application/json"

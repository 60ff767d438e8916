"""Model families and layouts for tests, with small corpora for other objectives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from pydoc_data import topics
from typing import Any

from engine.spec.spec import Spec
from tests.engine.rank.attempts import Attempt, tiny

STEPS = 30
# Largest relative difference to one rank at any step. Tensor ranks and pairs sum in another order.
TOLERANCE, WIDE_TOLERANCE = 1e-5, 1e-4
LINES = 400

LLAMA = {"positions": "rotary", "norm": "rmsnorm", "feed_forward": "swiglu", "biases": False}
PAIRS, LABELS = "pairs.tsv", "labels.jsonl"

# name -> the fields of model and of data
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "GPT": ({}, {}),
    "Llama": (LLAMA | {"heads": 4, "kv_heads": 2, "tied_embeddings": True}, {}),
    "BERT": ({"family": "encoder"}, {"objective": "masked"}),
    "classifier": ({"family": "encoder", "classes": 26}, {"objective": "classes", "corpus": LABELS}),
    # With two stages the boundary is between decoder blocks, so the encoded source is also sent to the next stage.
    "T5": (
        {"family": "encoder-decoder", "encoder_layers": 1, "layers": 3, "tied_embeddings": True},
        {"objective": "pairs", "corpus": PAIRS},
    ),
}

LAYOUTS: dict[str, dict[str, int]] = {
    "1 rank": {},
    "DP2": {"data": 2},
    "DP2 ZeRO 1": {"data": 2, "zero_stage": 1},
    "DP2 ZeRO 2": {"data": 2, "zero_stage": 2},
    "DP2 ZeRO 3": {"data": 2, "zero_stage": 3},
    "PP2": {"stages": 2},
    "TP2": {"tensor": 2},
    "DP2 x PP2 ZeRO 1": {"data": 2, "stages": 2, "zero_stage": 1},
    "TP2 x PP2 ZeRO 1": {"tensor": 2, "stages": 2, "zero_stage": 1},
    "DP2 x TP2 ZeRO 2": {"data": 2, "tensor": 2, "zero_stage": 2},
}


def build_spec(family: str, layout: str, **parts: dict[str, Any]) -> Spec:
    model, data = FAMILIES[family]
    budget = {"steps": STEPS} | parts.pop("budget", {})
    return tiny(model=model, data=data, parallel=LAYOUTS[layout], budget=budget, **parts)


def tolerance(family: str, layout: str) -> float:
    return WIDE_TOLERANCE if family == "T5" or "tensor" in LAYOUTS[layout] else TOLERANCE


def difference(attempt: Attempt, reference: Attempt, metric: str) -> float:
    """Return the largest relative difference over the steps of `attempt`."""
    expected = reference.series(metric)
    found = attempt.series(metric)
    return max(abs(value - expected[step]) / abs(expected[step]) for step, value in found.items())


def write_corpora(folder: Path) -> None:
    """Write pairs (a line of Python's documentation and its first words) and labels (a line and its first letter)."""
    lines = list(_lines())[:LINES]
    pairs = (f"{line}\t{' '.join(line.split()[:2])}\n" for line in lines)
    (folder / PAIRS).write_text("".join(pairs))
    labels = (json.dumps({"text": line, "label": line[0].lower()}) + "\n" for line in lines)
    (folder / LABELS).write_text("".join(labels))


def _lines() -> Iterator[str]:
    for text in topics.topics.values():
        for line in text.splitlines():
            clean = line.strip()
            if clean[:1].isalpha() and clean[:1].isascii() and len(clean) > 20:
                yield clean

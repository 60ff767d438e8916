"""Small models of every family with inputs, for tests in one process."""

from __future__ import annotations

from typing import Any

import torch

from engine.data.batches import PADDING
from engine.spec.spec import Spec
from tests.engine.rank.attempts import tiny

FAMILIES: dict[str, dict[str, Any]] = {
    "GPT": {},
    "Llama": {
        "positions": "rotary", "norm": "rmsnorm", "feed_forward": "swiglu", "biases": False, "kv_heads": 2, "heads": 4,
    },
    "GPT-2, tied": {"tied_embeddings": True},
    "sinusoidal": {"positions": "sinusoidal", "heads": 4, "kv_heads": 1},
    "BERT": {"family": "encoder", "objective": "masked", "tied_embeddings": True},
    "classifier": {"family": "encoder", "objective": "classes", "classes": 5},
    "T5": {"family": "encoder-decoder", "objective": "pairs", "encoder_layers": 3, "tied_embeddings": True},
    "modern pairs": {
        "family": "encoder-decoder", "objective": "pairs", "positions": "rotary", "norm": "rmsnorm",
        "feed_forward": "swiglu", "biases": False, "heads": 4, "kv_heads": 2,
    },
}  # fmt: skip


def spec_for_family(name: str, **parts: dict[str, Any]) -> Spec:
    model = dict(FAMILIES[name])
    data = {"objective": model.pop("objective", "next_token")}
    return tiny(model=model | parts.pop("model", {}), data=data, **parts)


def random_inputs(spec: Spec, batch: int = 2) -> Any:
    """Return random ids; in families with padding the second sequence is half as long as the first."""
    random = torch.Generator().manual_seed(4)
    ids_BS = torch.randint(0, 256, (batch, 16), generator=random)
    if spec.model.family == "decoder":
        return ids_BS
    source_BS = ids_BS.clone()
    source_BS[1::2, 8:] = PADDING
    return source_BS if spec.model.family == "encoder" else (source_BS, ids_BS[:, :12])

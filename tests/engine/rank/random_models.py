"""Random small models over all fields of a model, for tests against an oracle."""

from __future__ import annotations

import random
from typing import Any

from engine.spec.checks import refuse_impossible
from engine.spec.spec import SpecError
from tests.engine.rank.attempts import tiny

GELUS = ("gelu", "gelu_exact", "relu", "silu")
GATED = ("swiglu", "geglu", "geglu_exact", "reglu")


def draw_model(seed: int, families: tuple[str, ...] = ("decoder",)) -> dict[str, Any]:
    """Return fields of a model that the rules allow, and that two tensor ranks and two stages can share."""
    rng = random.Random(seed)
    for _ in range(100):
        fields = _draw(rng, rng.choice(families))
        try:
            refuse_impossible(tiny(model=fields, data={"objective": objective_of(fields)}))
        except SpecError:
            continue
        return fields
    raise AssertionError(f"seed {seed} gives no model that the rules allow")


def objective_of(fields: dict[str, Any]) -> str:
    return {"encoder": "masked", "encoder-decoder": "pairs"}.get(fields["family"], "next_token")


def _draw(rng: random.Random, family: str) -> dict[str, Any]:
    heads = rng.choice((2, 4))
    fields: dict[str, Any] = {
        "family": family, "layers": rng.choice((2, 3)), "width": 32, "heads": heads,
        "kv_heads": rng.choice((None, 2)), "head_dim": rng.choice((None, 8, 12)), "ffn_width": rng.choice((48, 64)),
        "norm": rng.choice(("layernorm", "rmsnorm")), "norm_epsilon": rng.choice((1e-5, 1e-6)),
        "norm_position": rng.choice(("pre", "post", "sandwich", "output")),
        "parallel_residual": rng.random() < 0.3, "feed_forward": rng.choice(GELUS + GATED),
        "biases": rng.random() < 0.7, "bias_in": rng.choice(("all", "attention", "feed_forward", "qkv")),
        "qk_norm": rng.choice(("none", "head", "full")), "attention_scale": rng.choice((None, 0.2)),
        "attention_softcap": rng.choice((0.0, 0.0, 2.0)), "logit_softcap": rng.choice((0.0, 5.0)),
        "logit_scale": rng.choice((1.0, 0.5)), "embedding_scale": rng.choice((1.0, 5.65)),
        "embedding_norm": rng.random() < 0.3, "token_types": rng.choice((0, 2)),
        "head_transform": rng.random() < 0.3, "tied_embeddings": rng.random() < 0.5,
    }  # fmt: skip
    if family == "decoder":
        fields |= {"window": rng.choice((None, 3, 7)), "window_layers": rng.choice(("S", "SF", "FS"))}
    if family == "encoder-decoder":
        fields |= {"encoder_layers": rng.choice((1, 2)), "positions": rng.choice(("relative", "rotary"))}
        return fields | {"relative_buckets": 8, "relative_distance": 20}
    return fields | _positions(rng)


def _positions(rng: random.Random) -> dict[str, Any]:
    if rng.random() < 0.2:
        return {"positions": "learned"}
    scaling = rng.choice(("none", "linear", "dynamic", "llama3", "yarn"))
    return {
        "positions": "rotary", "rope_base": rng.choice((100.0, 10_000.0, 500_000.0)), "rope_scaling": scaling,
        "rope_factor": rng.choice((2.0, 4.0)), "rope_original_context": 8, "rotary_share": rng.choice((1.0, 0.5)),
        "rope_local_base": rng.choice((None, 1000.0)),
    }  # fmt: skip

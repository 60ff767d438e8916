"""Comparison of a checkpoint's model with that of a spec."""

from __future__ import annotations

import pytest

from engine.checkpoints.folder import ResumeError
from engine.rank.checkpoint.layout import describe_layout, refuse_other_model
from engine.spec.model import Model
from tests.engine.rank.attempts import tiny

# Fields of a model in checkpoints that were written before families were data.
FIRST_FIELDS = (
    "family", "layers", "encoder_layers", "width", "heads", "kv_heads", "ffn_width", "context", "positions", "norm",
    "feed_forward", "biases", "tied_embeddings", "classes",
)  # fmt: skip


def test_a_checkpoint_without_later_fields_has_their_defaults() -> None:
    saved = describe_layout(tiny(), "fp32")
    saved["model"] = {name: saved["model"][name] for name in (*FIRST_FIELDS, "vocab_size")}
    refuse_other_model(saved, describe_layout(tiny(), "fp32"), "step-00000001")
    later = sorted(set(Model.model_fields) - {*FIRST_FIELDS, "dropout"})
    assert len(later) > 20
    with pytest.raises(ResumeError, match=r"model.norm_epsilon 1e-05 instead of 1e-06"):
        changed = describe_layout(tiny(model={"norm_epsilon": 1e-6}), "fp32")
        refuse_other_model(saved, changed, "step-00000001")

"""BERT and RoBERTa."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.checkpoints.huggingface.families.common import SIZES
from engine.checkpoints.huggingface.mapping.family import ConfigField, Family, Names, read_size
from engine.checkpoints.huggingface.mapping.parts import activation
from engine.checkpoints.huggingface.mapping.transforms import skipped_rows
from engine.spec.model import Model

_FIXED = {
    "family": "encoder", "positions": "learned", "norm": "layernorm", "norm_position": "post",
    "embedding_norm": True, "head_transform": True, "biases": True,
}  # fmt: skip
_FIELDS = (
    ConfigField("norm_epsilon", "layer_norm_eps", 1e-12, float),
    ConfigField("token_types", "type_vocab_size", 2),
    ConfigField("tied_embeddings", "tie_word_embeddings", True, bool),
)
_ALLOWED = {
    "position_embedding_type": ("absolute",), "is_decoder": (False,), "add_cross_attention": (False,),
}  # fmt: skip
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")


def _names(body: str, head: Mapping[str, str]) -> Names:
    block = body + ".encoder.layer.{0}."
    return {
        "embed": {
            "token": f"{body}.embeddings.word_embeddings",
            "position": f"{body}.embeddings.position_embeddings",
            "token_type": f"{body}.embeddings.token_type_embeddings",
            "norm": f"{body}.embeddings.LayerNorm",
        },
        "encoder_block": {
            "attention.query_key_value": "+".join(
                f"{block}attention.self.{part}" for part in ("query", "key", "value")
            ),
            "attention.output": block + "attention.output.dense",
            "attention_norm": block + "attention.output.LayerNorm",
            "feed_forward.up": block + "intermediate.dense",
            "feed_forward.down": block + "output.dense",
            "feed_forward_norm": block + "output.LayerNorm",
        },
        "head": head,
    }


def _bert_names(model: Model) -> Names:
    head = "cls.predictions"
    transform = {"transform": f"{head}.transform.dense", "transform_norm": f"{head}.transform.LayerNorm"}
    return _names("bert", transform | _decoder_names(model, head))


def _roberta_names(model: Model) -> Names:
    transform = {"transform": "lm_head.dense", "transform_norm": "lm_head.layer_norm"}
    return _names("roberta", transform | _decoder_names(model, "lm_head"))


def _decoder_names(model: Model, head: str) -> dict[str, str]:
    """A tied head has its bias beside the decoder, and an untied one inside of it."""
    bias = f"{head}.bias" if model.tied_embeddings else f"{head}.decoder.bias"
    return {"weight": f"{head}.decoder.weight", "bias": bias}


BERT = Family(
    "BERT", "bert", "BertForMaskedLM",
    fields=(*SIZES, *_FIELDS),
    fixed=_FIXED,
    names=_bert_names,
    parts=(activation("hidden_act", "gelu", is_gated=False),),
    allowed=_ALLOWED,
    constants={"pad_token_id": None},
    dropouts=_DROPOUTS,
    prefix="bert.",
    renamed=(("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")),
)  # fmt: skip

PADDING_ID = 1  # RoBERTa counts positions from the id after it
_RESERVED = PADDING_ID + 1


def _read_context(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"context": read_size(config, "max_position_embeddings") - _RESERVED}


def _write_context(model: Model) -> dict[str, Any]:
    return {"max_position_embeddings": model.context + _RESERVED}


ROBERTA = Family(
    "RoBERTa", "roberta", "RobertaForMaskedLM",
    fields=(*(one for one in SIZES if one.name != "context"), *_FIELDS),
    fixed=_FIXED,
    names=_roberta_names,
    # The transform before the head has GELU in any case.
    parts=(activation("hidden_act", "gelu", is_gated=False), (_read_context, _write_context)),
    allowed=_ALLOWED | {"hidden_act": ("gelu",), "pad_token_id": (PADDING_ID,)},
    constants={"pad_token_id": PADDING_ID},
    dropouts=_DROPOUTS,
    transforms={"position": skipped_rows(_RESERVED)},
    prefix="roberta.",
)  # fmt: skip

"""Fields of a model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from engine.spec.part import Real, SpecPart

FeedForwardName = Literal["gelu", "gelu_exact", "relu", "silu", "swiglu", "geglu", "geglu_exact", "reglu"]
GATED = ("swiglu", "geglu", "geglu_exact", "reglu")
WINDOW_PATTERN = r"^[SF]{1,256}$"


class Model(SpecPart):
    """A Transformer: a decoder, an encoder, or both."""

    family: Literal["decoder", "encoder", "encoder-decoder"] = Field(
        "decoder", title="Family", description="Decoder like GPT and Llama, encoder like BERT, both like T5"
    )
    layers: int = Field(
        4, ge=1, le=256, title="Layers", description="Blocks; in an encoder-decoder, of the decoder"
    )
    encoder_layers: int | None = Field(
        None, ge=1, le=256, title="Encoder layers", description="Encoder-decoder only; empty: same as layers"
    )  # fmt: skip
    width: int = Field(128, ge=8, le=32768, title="Width", description="Size of the residual stream")
    heads: int = Field(4, ge=1, le=256, title="Heads", description="Attention heads; must divide the width")
    kv_heads: int | None = Field(
        None, ge=1, le=256, title="Key/value heads",
        description="Each shared by a group of heads; empty: one per head",
    )  # fmt: skip
    head_dim: int | None = Field(
        None, ge=1, le=1024, title="Head size", description="Features of each head; empty: width / heads"
    )
    ffn_width: int = Field(512, ge=8, le=131072, title="Feed-forward width", description="Usually 4 x width")
    context: int = Field(128, ge=8, le=1_048_576, title="Context", description="Tokens per sequence")
    positions: Literal["learned", "sinusoidal", "rotary", "relative"] = Field(
        "learned", title="Positions",
        description="Positional encoding; relative: a bias for each distance and head, as in T5",
    )  # fmt: skip
    rope_base: Real = Field(
        10_000.0,
        ge=1,
        le=1e12,
        title="Rotary base",
        description="Also called theta; larger for long contexts",
    )
    rope_local_base: Real | None = Field(
        None, ge=1, le=1e12, title="Rotary base in windows",
        description="Of layers with a sliding window, without scaling; empty: as in the others",
    )  # fmt: skip
    rope_scaling: Literal["none", "linear", "dynamic", "llama3", "yarn"] = Field(
        "none", title="Rotary scaling", description="Extends the context of a trained model"
    )
    rope_factor: Real = Field(
        1.0, ge=1, le=4096, title="Scaling factor", description="New context / original context"
    )
    rope_original_context: int | None = Field(
        None, ge=8, le=1_048_576, title="Original context",
        description="Tokens that the model was trained on before its context was extended; empty: the context",
    )  # fmt: skip
    rope_low_factor: Real = Field(
        1.0, gt=0, le=1024, title="Low-frequency factor",
        description="Features that turn fewer times than this in the original context are slowed down by the factor",
    )  # fmt: skip
    rope_high_factor: Real = Field(
        4.0, gt=0, le=1024, title="High-frequency factor",
        description="Features that turn more times than this in the original context do not change",
    )  # fmt: skip
    rope_beta_fast: Real = Field(
        32.0, gt=0, le=4096, title="Beta fast", description="Turns above which YaRN changes nothing"
    )
    rope_beta_slow: Real = Field(
        1.0, gt=0, le=4096, title="Beta slow", description="Turns below which YaRN slows down by the factor"
    )
    rope_attention_factor: Real | None = Field(
        None, gt=0, le=100, title="YaRN attention factor",
        description="Multiplies rotated queries and keys; empty: 0.1 ln(factor) + 1",
    )  # fmt: skip
    rotary_share: Real = Field(
        1.0, gt=0, le=1, title="Rotary share", description="Share of each head's features that is rotated"
    )
    relative_buckets: int = Field(
        32,
        ge=2,
        le=1024,
        title="Distance buckets",
        description="Biases of each head, one per range of distances",
    )
    relative_distance: int = Field(
        128,
        ge=2,
        le=131072,
        title="Largest distance",
        description="All longer distances share the last bucket",
    )
    norm: Literal["layernorm", "rmsnorm"] = Field("layernorm", title="Norm", description="Kind of every norm")
    norm_epsilon: Real = Field(
        1e-5, gt=0, le=0.1, title="Norm epsilon", description="Added to the variance in every norm"
    )
    norm_position: Literal["pre", "post", "sandwich", "output"] = Field(
        "pre", title="Norm position",
        description="pre: before each sublayer; post: after its sum with the stream, as in BERT; "
        "sandwich: before and after it, as in Gemma 2; output: after it, before the sum, as in OLMo 2",
    )  # fmt: skip
    parallel_residual: bool = Field(
        False, title="Parallel residual",
        description="Attention and feed-forward read the same input, as in GPT-NeoX",
    )  # fmt: skip
    feed_forward: FeedForwardName = Field(
        "gelu", title="Feed-forward",
        description="Two matrices with an activation (gelu: by tanh), or three with a gate (swiglu, geglu, reglu)",
    )  # fmt: skip
    biases: bool = Field(True, title="Biases", description="In the matrices of the blocks")
    bias_in: Literal["all", "attention", "feed_forward", "qkv"] = Field(
        "all", title="Biases in", description="Matrices with a bias; qkv: query, key and value, as in Qwen 2"
    )
    qk_norm: Literal["none", "head", "full"] = Field(
        "none", title="Query/key norm",
        description="RMSNorm of queries and keys: of each head as in Qwen 3, or over all heads as in OLMo 2",
    )  # fmt: skip
    attention_scale: Real | None = Field(
        None, gt=0, le=100, title="Attention scale",
        description="Multiplies products of queries and keys; empty: 1 / square root of the head size",
    )  # fmt: skip
    attention_softcap: Real = Field(
        0.0, ge=0, le=1e6, title="Attention soft-cap",
        description="Limits attention scores by tanh, as in Gemma 2; 0 disables it",
    )  # fmt: skip
    window: int | None = Field(
        None, ge=1, le=1_048_576, title="Sliding window",
        description="Tokens that a position attends to, with itself; empty: all before it",
    )  # fmt: skip
    window_layers: str = Field(
        "S", pattern=WINDOW_PATTERN, title="Window layers",
        description="S: sliding window, F: full attention; repeated over the layers, as SSSSSF in Gemma 3",
    )  # fmt: skip
    embedding_scale: Real = Field(
        1.0, gt=0, le=1e6, title="Embedding scale",
        description="Multiplies token embeddings; in Gemma the square root of the width",
    )  # fmt: skip
    embedding_norm: bool = Field(False, title="Embedding norm", description="After the embedding, as in BERT")
    token_types: int = Field(
        0, ge=0, le=16, title="Token types",
        description="Rows of BERT's segment embedding; every token has the first. 0: none",
    )  # fmt: skip
    head_transform: bool = Field(
        False, title="Head transform",
        description="Dense layer, activation and norm before the head, and a bias in it, as in BERT",
    )  # fmt: skip
    logit_scale: Real = Field(
        1.0, gt=0, le=1e6, title="Logit scale", description="Multiplies logits, as in T5 with tied embeddings"
    )
    logit_softcap: Real = Field(
        0.0, ge=0, le=1e6, title="Logit soft-cap", description="Limits logits by tanh; 0 disables it"
    )
    tied_embeddings: bool = Field(False, title="Tied", description="Head and token embedding share weights")
    classes: int = Field(2, ge=2, le=10_000, title="Classes", description="Classification only")
    dropout: Real = Field(0.0, ge=0, lt=1, title="Dropout", description="0 disables it")

    @property
    def num_encoder_layers(self) -> int:
        if self.family == "encoder":
            return self.layers
        return (self.encoder_layers or self.layers) if self.family == "encoder-decoder" else 0

    @property
    def num_decoder_layers(self) -> int:
        return 0 if self.family == "encoder" else self.layers

    @property
    def num_kv_heads(self) -> int:
        return self.kv_heads or self.heads

    @property
    def head_size(self) -> int:
        return self.head_dim or self.width // self.heads

    @property
    def query_width(self) -> int:
        return self.heads * self.head_size

    @property
    def kv_width(self) -> int:
        """Features of the keys of all heads, and of the values."""
        return self.num_kv_heads * self.head_size

    @property
    def rotary_size(self) -> int:
        """Rotated features of each head."""
        return int(self.head_size * self.rotary_share)

    @property
    def is_gated(self) -> bool:
        return self.feed_forward in GATED

    @property
    def has_final_norm(self) -> bool:
        """Post-norm blocks end with a norm of their own."""
        return self.norm_position != "post"

    @property
    def has_qkv_biases(self) -> bool:
        return self.biases and self.bias_in != "feed_forward"

    @property
    def has_output_bias(self) -> bool:
        return self.biases and self.bias_in in ("all", "attention")

    @property
    def has_feed_forward_biases(self) -> bool:
        return self.biases and self.bias_in in ("all", "feed_forward")

    def has_window(self, layer: int) -> bool:
        """Whether decoder layer `layer`, counted from 0, has the sliding window."""
        return self.window is not None and self.window_layers[layer % len(self.window_layers)] == "S"

    def identity(self) -> dict[str, Any]:
        """Return the fields that decide the shape or meaning of weights. Empty fields have the value that they stand
        for, and fields without an effect their default."""
        values = self.model_dump(exclude={"dropout", "classes"})
        values |= {"kv_heads": self.num_kv_heads, "head_dim": self.head_size}
        values["encoder_layers"] = self.num_encoder_layers if self.family == "encoder-decoder" else None
        for field in self._fields_without_effect():
            values[field] = type(self).model_fields[field].default
        if self.window is not None:
            flags = "".join(
                "S" if self.has_window(layer) else "F" for layer in range(self.num_decoder_layers)
            )
            values["window_layers"] = shortest_pattern(flags)
        if "rope_original_context" not in self._fields_without_effect():
            values["rope_original_context"] = self.rope_original_context or self.context
        return values

    def _fields_without_effect(self) -> set[str]:
        fields = set(type(self).model_fields)
        rope = {field for field in fields if field.startswith("rope_")} | {"rotary_share"}
        unused: set[str] = set()
        if self.positions != "rotary":
            unused |= rope
        else:
            unused |= rope - SCALING_FIELDS[self.rope_scaling] - {
                "rope_base", "rope_scaling", "rotary_share", "rope_local_base",
            }  # fmt: skip
        if self.positions != "relative":
            unused |= {"relative_buckets", "relative_distance"}
        if self.positions != "learned":
            unused.add("context")
        if not self.biases:
            unused.add("bias_in")
        if self.window is None:
            unused |= {"window_layers", "rope_local_base"}
        return unused


# Rotary scaling -> the fields that it reads
SCALING_FIELDS: dict[str, set[str]] = {
    "none": set(),
    "linear": {"rope_factor"},
    "dynamic": {"rope_factor", "rope_original_context"},
    "llama3": {"rope_factor", "rope_original_context", "rope_low_factor", "rope_high_factor"},
    "yarn": {
        "rope_factor", "rope_original_context", "rope_beta_fast", "rope_beta_slow", "rope_attention_factor",
    },
}  # fmt: skip


def shortest_pattern(flags: str) -> str:
    """Return the shortest text that gives `flags` when it is repeated."""
    for size in range(1, len(flags)):
        if (flags[:size] * len(flags))[: len(flags)] == flags:
            return flags[:size]
    return flags

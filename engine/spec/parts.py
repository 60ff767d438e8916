"""The parts of a spec: model, data, batch, layout, precision, optimiser, guard and budget, field by field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

DEFAULT_TIME_LIMIT_S = 3600  # where neither the spec nor its pool says one


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


# Strict parsing keeps `true` from becoming 1; YAML writes 3e-4 as text and 1 where 1.0 is meant, so floats are lax.
Real = Annotated[float, Field(strict=False)]


class Model(Part):
    """A Transformer of pre-norm blocks: a decoder, an encoder, or both."""

    family: Literal["decoder", "encoder", "encoder-decoder"] = Field(
        "decoder", title="Family", description="Decoder as GPT and Llama, encoder as BERT, both as T5"
    )
    layers: int = Field(4, ge=1, le=256, title="Layers", description="Blocks; an encoder-decoder's decoder")
    encoder_layers: int | None = Field(
        None,
        ge=1,
        le=256,
        title="Encoder layers",
        description="Encoder-decoder only; empty: as many as layers",
    )
    width: int = Field(128, ge=8, le=32768, title="Width", description="Size of the residual stream")
    heads: int = Field(4, ge=1, le=256, title="Heads", description="Attention heads; must divide the width")
    kv_heads: int | None = Field(
        None,
        ge=1,
        le=256,
        title="Key/value heads",
        description="Shared by groups of heads; empty: one for each",
    )
    ffn_width: int = Field(512, ge=8, le=131072, title="Feed-forward width", description="Usually 4 x width")
    context: int = Field(128, ge=8, le=131072, title="Context", description="Tokens a sequence holds")
    positions: Literal["learned", "sinusoidal", "rotary"] = Field(
        "learned", title="Positions", description="How a token knows its place"
    )
    norm: Literal["layernorm", "rmsnorm"] = Field(
        "layernorm", title="Norm", description="Before each sublayer"
    )
    feed_forward: Literal["gelu", "swiglu"] = Field(
        "gelu", title="Feed-forward", description="Two matrices with GELU, or three with a gate"
    )
    biases: bool = Field(True, title="Biases", description="In the matrices of the blocks")
    tied_embeddings: bool = Field(False, title="Tied", description="The head is the token embedding")
    classes: int = Field(2, ge=2, le=10_000, title="Classes", description="Classification only")
    dropout: Real = Field(0.0, ge=0, lt=1, title="Dropout", description="0 switches it off")

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


Objective = Literal["next_token", "masked", "classes", "pairs"]


class Data(Part):
    corpus: str = Field(
        "python-docs", min_length=1, max_length=200, title="Corpus",
        description="A built-in corpus, an uploaded data set, or a file inside the data folder",
    )  # fmt: skip
    objective: Objective = Field(
        "next_token",
        title="Objective",
        description="What is predicted: next token, masked ones, a class, a target text",
    )
    tokenizer: Literal["bytes", "bpe"] = Field(
        "bpe", title="Tokenizer", description="Bytes, or a BPE trained on the corpus"
    )
    vocab_size: int = Field(
        2048, ge=256, le=65536, title="Vocabulary", description="BPE only; bytes always have 256"
    )
    validation_share: Real = Field(
        0.05, gt=0, le=0.5, title="Validation share", description="Share of the text held out"
    )
    token_dropout: Real = Field(
        0.0, ge=0, lt=1, title="Token dropout", description="Augmentation: share of input tokens blanked out"
    )


class Batch(Part):
    global_batch_size: int = Field(
        16, ge=1, le=65536, title="Global batch", description="Sequences a step, over all ranks"
    )
    micro_batch_size: int = Field(
        8, ge=1, le=4096, title="Micro-batch", description="Sequences a rank holds at once"
    )
    full_batch: bool = Field(
        False,
        title="Full batch",
        description="Every step sees the whole training part, whatever the global batch says",
    )


Recompute = Literal["none", "selective", "full"]
Offload = Literal["none", "host", "disk"]


class Parallel(Part):
    data: int = Field(2, ge=1, le=1024, title="Data parallel", description="Copies of the model")
    tensor: int = Field(
        1,
        ge=1,
        le=64,
        title="Tensor parallel",
        description="Ranks that share each matrix; must divide the heads",
    )
    stages: int = Field(
        1, ge=1, le=64, title="Pipeline stages", description="Slices of the model, one a rank"
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(
        1, title="ZeRO stage", description="Shares optimiser (1), gradients (2), parameters (3)"
    )
    activation_checkpointing: Recompute = Field(
        "none",
        title="Activation checkpointing",
        description="Recompute attention (selective) or whole blocks (full) in the backward pass to save memory",
    )
    offload_optimiser: Offload = Field(
        "none", title="Offload optimiser", description="Where its state lives between updates; ZeRO 1 to 3"
    )
    offload_parameters: Offload = Field(
        "none", title="Offload parameters", description="Where they live between uses; ZeRO 3"
    )

    @field_validator("activation_checkpointing", mode="before")
    @classmethod
    def _as_it_was_a_switch(cls, value: Any) -> Any:
        """Specs kept from before 2026-11-27 say true or false."""
        return {True: "full", False: "none"}[value] if isinstance(value, bool) else value

    @property
    def world_size(self) -> int:
        return self.data * self.tensor * self.stages


class Precision(Part):
    dtype: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto", title="Precision", description="auto: bf16 where the device is fast at it, else fp32"
    )


class Optimiser(Part):
    name: Literal["adamw", "adam", "sgd", "adafactor", "lbfgs"] = Field(
        "adamw", title="Optimiser", description="How gradients become updates; its state costs memory"
    )
    learning_rate: Real = Field(
        1e-3, gt=0, le=10, title="Learning rate", description="At the end of the warm-up"
    )
    schedule: Literal["constant", "cosine", "linear", "wsd", "inverse_sqrt"] = Field(
        "cosine",
        title="Schedule",
        description="After the warm-up; wsd: constant, then down over the last fifth",
    )
    warmup_steps: int = Field(20, ge=0, le=1_000_000, title="Warm-up steps", description="Linear from zero")
    momentum: Real = Field(0.9, ge=0, lt=1, title="Momentum", description="SGD only; 0 is plain SGD")
    weight_decay: Real = Field(0.1, ge=0, le=10, title="Weight decay", description="Not on norms and biases")
    gradient_clip: Real = Field(
        1.0, ge=0, le=1e6, title="Gradient clipping", description="Largest norm; 0 switches it off"
    )
    label_smoothing: Real = Field(
        0.0,
        ge=0,
        lt=1,
        title="Label smoothing",
        description="Share of each target spread over the vocabulary",
    )


class Guard(Part):
    """What happens when training goes wrong, or goes nowhere."""

    on_broken_step: Literal["stop", "skip", "roll_back"] = Field(
        "stop", title="On a broken step",
        description="No finite loss or gradient, or a spike: end, leave the step out, or back to the last checkpoint",
    )  # fmt: skip
    spike_factor: Real = Field(
        0.0, ge=0, le=1000, title="Spike factor",
        description="A loss this many times its running mean is broken; 0 switches it off",
    )  # fmt: skip
    patience: int = Field(
        0, ge=0, le=1000, title="Patience",
        description="Early stopping: validations without a better loss; 0 switches it off",
    )  # fmt: skip


class Budget(Part):
    steps: int = Field(200, ge=1, le=100_000_000, title="Steps", description="Optimiser updates")
    validate_every: int = Field(
        50, ge=0, le=100_000_000, title="Validate every", description="Steps; 0: only at the end"
    )
    checkpoint_every: int = Field(
        100, ge=0, le=100_000_000, title="Checkpoint every", description="Steps; 0: only at the end"
    )
    keep_checkpoints: int = Field(2, ge=1, le=100, title="Checkpoints kept", description="The newest ones")
    keep_best: bool = Field(
        False, title="Keep the best", description="And the one with the lowest validation loss"
    )
    time_limit_s: int | None = Field(
        None, ge=10, le=60 * 60 * 24 * 60, title="Time limit",
        description="Seconds of each attempt; then checkpoint and end. Empty: as long as the pool gives by itself",
    )  # fmt: skip

    @property
    def limit_s(self) -> int:
        return self.time_limit_s or DEFAULT_TIME_LIMIT_S

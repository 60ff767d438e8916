"""Parts of a spec and their fields."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from engine.spec.adapters import DEFAULT_TARGETS
from engine.spec.model import Model as Model
from engine.spec.optimisers import DEFAULT_NAME, OPTIMISERS, OptimiserName, OptimiserRow
from engine.spec.part import Real as Real
from engine.spec.part import SpecPart as SpecPart

DEFAULT_TIME_LIMIT_S = 3600  # without a limit in the spec or its pool


Objective = Literal["next_token", "masked", "classes", "pairs", "chat"]
TokenizerKind = Literal["bytes", "bpe", "pretrained"]


class Data(SpecPart):
    corpus: str = Field(
        "python-docs", min_length=1, max_length=200, title="Corpus",
        description="A built-in corpus, an uploaded data set, or a file inside the data folder",
    )  # fmt: skip
    objective: Objective = Field(
        "next_token",
        title="Objective",
        description="Prediction target: next token, masked tokens, a class, a target text, or answers in chats",
    )
    tokenizer: TokenizerKind = Field(
        "bpe", title="Tokenizer", description="Bytes, a BPE trained on the corpus, or a published one"
    )
    tokenizer_path: str = Field(
        "", max_length=300, title="Tokenizer files",
        description="Published tokenizer: a folder or file in the data folder; empty: that of the initial weights",
    )  # fmt: skip
    vocab_size: int = Field(
        2048,
        ge=256,
        le=524_288,
        title="Vocabulary",
        description="Rows of the embedding; bytes always have 256",
    )
    packing: bool = Field(
        False, title="Packing",
        description="Several texts in a sequence; none attends to another, and positions restart at each",
    )  # fmt: skip
    validation_share: Real = Field(
        0.05, gt=0, le=0.5, title="Validation share", description="Share of the text held out"
    )
    token_dropout: Real = Field(
        0.0,
        ge=0,
        lt=1,
        title="Token dropout",
        description="Augmentation: share of input tokens that are masked",
    )


class BatchSizes(SpecPart):
    global_batch_size: int = Field(
        16, ge=1, le=65536, title="Global batch", description="Sequences per step, over all ranks"
    )
    micro_batch_size: int = Field(
        8, ge=1, le=4096, title="Micro-batch", description="Sequences per rank and pass"
    )
    full_batch: bool = Field(
        False,
        title="Full batch",
        description="Every step uses all training data and ignores the global batch",
    )


Recompute = Literal["none", "selective", "full"]
Offload = Literal["none", "host", "disk"]


class Parallel(SpecPart):
    data: int = Field(2, ge=1, le=1024, title="Data parallel", description="Copies of the model")
    tensor: int = Field(
        1,
        ge=1,
        le=64,
        title="Tensor parallel",
        description="Ranks that split each matrix; must divide the heads",
    )
    stages: int = Field(
        1, ge=1, le=64, title="Pipeline stages", description="Slices of the model, one per rank"
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(
        1, title="ZeRO stage", description="Shards optimiser state (1), gradients (2), parameters (3)"
    )
    activation_checkpointing: Recompute = Field(
        "none",
        title="Activation checkpointing",
        description="Recompute attention (selective) or whole blocks (full) in the backward pass to save memory",
    )
    offload_optimiser: Offload = Field(
        "none", title="Offload optimiser", description="Location of its state between updates; ZeRO 1 to 3"
    )
    offload_parameters: Offload = Field(
        "none", title="Offload parameters", description="Location between uses; ZeRO 3"
    )

    @field_validator("activation_checkpointing", mode="before")
    @classmethod
    def _read_old_switch(cls, value: Any) -> Any:
        """Specs stored before 2026-11-27 hold true or false."""
        return {True: "full", False: "none"}[value] if isinstance(value, bool) else value

    @property
    def world_size(self) -> int:
        return self.data * self.tensor * self.stages


class Precision(SpecPart):
    dtype: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = Field(
        "auto", title="Precision", description="auto: bf16 if the device computes it fast, else fp32"
    )


class Optimiser(SpecPart):
    name: OptimiserName = Field(
        DEFAULT_NAME, title="Optimiser", description="The update rule; its state takes memory"
    )
    learning_rate: Real = Field(
        1e-3, gt=0, le=10, title="Learning rate", description="At the end of the warm-up"
    )
    schedule: Literal["constant", "cosine", "linear", "wsd", "inverse_sqrt"] = Field(
        "cosine",
        title="Schedule",
        description="After the warm-up; wsd: constant, then decay over the last fifth",
    )
    warmup_steps: int = Field(20, ge=0, le=1_000_000, title="Warm-up steps", description="Linear from zero")
    momentum: Real = Field(
        0.9,
        ge=0,
        lt=1,
        title="Momentum",
        description="Share of the previous update that is kept; 0 disables it",
    )
    weight_decay: Real = Field(0.1, ge=0, le=10, title="Weight decay", description="Not on norms and biases")
    gradient_clip: Real = Field(
        1.0, ge=0, le=1e6, title="Gradient clipping", description="Largest norm; 0 disables it"
    )
    label_smoothing: Real = Field(
        0.0,
        ge=0,
        lt=1,
        title="Label smoothing",
        description="Share of each target that is spread over the vocabulary",
    )

    @property
    def row(self) -> OptimiserRow:
        return OPTIMISERS[self.name]


class Adapter(SpecPart):
    """Trains small matrices beside the frozen weights that the run starts from (LoRA)."""

    rank: int = Field(
        0, ge=0, le=4096, title="Adapter rank",
        description="LoRA: columns of the added matrices; 0 trains all weights. Needs 'start from'",
    )  # fmt: skip
    alpha: Real = Field(
        16.0, gt=0, le=65536, title="Adapter alpha", description="The adapter counts alpha / rank times"
    )
    dropout: Real = Field(
        0.0, ge=0, lt=1, title="Adapter dropout", description="Share of an adapter's inputs that is dropped"
    )
    targets: str = Field(
        DEFAULT_TARGETS, min_length=1, max_length=500, title="Adapted matrices",
        description="Patterns separated by commas: attention.query, feed_forward.*, 3.*, head",
    )  # fmt: skip

    @property
    def is_on(self) -> bool:
        return self.rank > 0


class Guard(SpecPart):
    """Actions when training diverges or stops improving."""

    on_broken_step: Literal["stop", "skip", "roll_back"] = Field(
        "stop", title="On a broken step",
        description="Loss or gradient not finite, or a spike: end, skip the step, or roll back to the last checkpoint",
    )  # fmt: skip
    spike_factor: Real = Field(
        0.0, ge=0, le=1000, title="Spike factor",
        description="A loss this many times its running mean is broken; 0 disables it",
    )  # fmt: skip
    patience: int = Field(
        0, ge=0, le=1000, title="Patience",
        description="Early stopping: validations without a better loss; 0 disables it",
    )  # fmt: skip


class Budget(SpecPart):
    steps: int = Field(200, ge=1, le=100_000_000, title="Steps", description="Optimiser updates")
    validate_every: int = Field(
        50, ge=0, le=100_000_000, title="Validate every", description="Steps; 0: only at the end"
    )
    checkpoint_every: int = Field(
        100, ge=0, le=100_000_000, title="Checkpoint every", description="Steps; 0: only at the end"
    )
    keep_checkpoints: int = Field(
        2, ge=1, le=100, title="Checkpoints kept", description="Number of newest checkpoints"
    )
    keep_best: bool = Field(
        False, title="Keep the best", description="Also keep the checkpoint with the lowest validation loss"
    )
    time_limit_s: int | None = Field(
        None, ge=10, le=60 * 60 * 24 * 60, title="Time limit",
        description="Seconds per attempt, then checkpoint and end. Empty: the default of the pool",
    )  # fmt: skip

    @property
    def limit_s(self) -> int:
        return self.time_limit_s or DEFAULT_TIME_LIMIT_S

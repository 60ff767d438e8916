"""The spec: the frozen description of one training run, and the one door it comes in by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.problems import Problem, SpecError, kind_of, problem_of

SPEC_BYTES_LIMIT = 64 * 1024
SPEC_DEPTH_LIMIT = 6
DEFAULT_TIME_LIMIT_S = 3600  # where neither the spec nor its pool says one


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


# Strict parsing keeps `true` from becoming 1; YAML writes 3e-4 as text and 1 where 1.0 is meant, so floats are lax.
Real = Annotated[float, Field(strict=False)]


class Model(Part):
    """A decoder-only Transformer: pre-norm blocks, learned positions, GELU, an untied head."""

    layers: int = Field(4, ge=1, le=256, title="Layers", description="Transformer blocks")
    width: int = Field(128, ge=8, le=32768, title="Width", description="Size of the residual stream")
    heads: int = Field(4, ge=1, le=256, title="Heads", description="Attention heads; must divide the width")
    ffn_width: int = Field(512, ge=8, le=131072, title="Feed-forward width", description="Usually 4 x width")
    context: int = Field(128, ge=8, le=131072, title="Context", description="Tokens a sequence holds")
    dropout: Real = Field(0.0, ge=0, lt=1, title="Dropout", description="0 switches it off")


class Data(Part):
    corpus: str = Field(
        "python-docs", min_length=1, max_length=200, title="Corpus",
        description="A built-in corpus, or a text file inside the data folder",
    )  # fmt: skip
    tokenizer: Literal["bytes", "bpe"] = Field(
        "bpe", title="Tokenizer", description="Bytes, or a BPE trained on the corpus"
    )
    vocab_size: int = Field(
        2048, ge=256, le=65536, title="Vocabulary", description="BPE only; bytes always have 256"
    )
    validation_share: Real = Field(
        0.05, gt=0, le=0.5, title="Validation share", description="Share of the text held out"
    )


class Batch(Part):
    global_batch_size: int = Field(
        16, ge=1, le=65536, title="Global batch", description="Sequences a step, over all ranks"
    )
    micro_batch_size: int = Field(
        8, ge=1, le=4096, title="Micro-batch", description="Sequences a rank holds at once"
    )


class Parallel(Part):
    data: int = Field(2, ge=1, le=1024, title="Data parallel", description="Copies of the model")
    stages: int = Field(
        1, ge=1, le=64, title="Pipeline stages", description="Slices of the model, one a rank"
    )
    zero_stage: Literal[0, 1, 2, 3] = Field(
        1, title="ZeRO stage", description="Shares optimiser (1), gradients (2), parameters (3)"
    )
    activation_checkpointing: bool = Field(
        False,
        title="Activation checkpointing",
        description="Recompute blocks in the backward pass to save memory",
    )

    @property
    def world_size(self) -> int:
        return self.data * self.stages


class Precision(Part):
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", title="Number format", description="auto: bf16 where the device is fast at it, else fp32"
    )


class Optimiser(Part):
    name: Literal["adamw", "sgd"] = Field(
        "adamw", title="Optimiser", description="AdamW, or SGD with momentum 0.9"
    )
    learning_rate: Real = Field(
        1e-3, gt=0, le=10, title="Learning rate", description="At the end of the warm-up"
    )
    schedule: Literal["constant", "cosine"] = Field(
        "cosine", title="Schedule", description="After the warm-up"
    )
    warmup_steps: int = Field(20, ge=0, le=1_000_000, title="Warm-up steps", description="Linear from zero")
    weight_decay: Real = Field(0.1, ge=0, le=10, title="Weight decay", description="Not on norms and biases")
    gradient_clip: Real = Field(
        1.0, ge=0, le=1e6, title="Gradient clipping", description="Largest norm; 0 switches it off"
    )


class Budget(Part):
    steps: int = Field(200, ge=1, le=100_000_000, title="Steps", description="Optimiser updates")
    validate_every: int = Field(
        50, ge=0, le=100_000_000, title="Validate every", description="Steps; 0: only at the end"
    )
    checkpoint_every: int = Field(
        100, ge=0, le=100_000_000, title="Checkpoint every", description="Steps; 0: only at the end"
    )
    keep_checkpoints: int = Field(2, ge=1, le=100, title="Checkpoints kept", description="The newest ones")
    time_limit_s: int | None = Field(
        None, ge=10, le=60 * 60 * 24 * 60, title="Time limit",
        description="Seconds of each attempt; then checkpoint and end. Empty: as long as the pool gives by itself",
    )  # fmt: skip

    @property
    def limit_s(self) -> int:
        return self.time_limit_s or DEFAULT_TIME_LIMIT_S


class Spec(Part):
    name: str = Field(
        "untitled", min_length=1, max_length=100, title="Name", description="How the run is called"
    )
    pool: str = Field(
        "default", min_length=1, max_length=50, title="Pool", description="Where the job waits for devices"
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, title="Seed", description="Of weights, dropout and data order")
    priority: Literal["low", "normal", "high"] = Field(
        "normal", title="Priority", description="A higher one goes first; only team leads may set high"
    )
    preemptible: bool = Field(
        True,
        title="Preemptible",
        description="A higher priority may send it back to the queue, with a checkpoint",
    )
    requires: str = Field(
        "", max_length=200, title="Requires", description="Labels the pool must have: gpu=h200, site=north"
    )
    model: Model = Model()
    data: Data = Data()
    batch: Batch = Batch()
    parallel: Parallel = Parallel()
    precision: Precision = Precision()
    optimiser: Optimiser = Optimiser()
    budget: Budget = Budget()

    @property
    def accumulation(self) -> int:
        """Micro-batches a rank runs per step (gradient accumulation; the pipeline's micro-batches)."""
        return self.batch.global_batch_size // (self.batch.micro_batch_size * self.parallel.data)

    @property
    def vocab_size(self) -> int:
        return 256 if self.data.tokenizer == "bytes" else self.data.vocab_size


def parse(values: Any) -> Spec:
    """A spec from nested plain values. Raises SpecError naming each field, its value and what is allowed."""
    if not isinstance(values, Mapping):
        raise SpecError([Problem("", f"A spec is a mapping of fields, not {kind_of(values)}.")])
    try:
        return Spec.model_validate(values)
    except ValidationError as error:
        raise SpecError(problem_of(e, Spec) for e in error.errors()) from None


def from_yaml(text: str | bytes) -> Spec:
    """A spec from YAML (or JSON, which is YAML). Refuses aliases, deep nesting and more than 64 KiB."""
    return parse(yaml_values(text))


def yaml_values(text: str | bytes) -> Any:
    """The plain values of a YAML text, before any field is looked at."""
    size = len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else len(text)
    if size > SPEC_BYTES_LIMIT:
        raise SpecError([Problem("", f"The spec is {size:,} bytes; the limit is {SPEC_BYTES_LIMIT:,}.")])
    try:
        _refuse_yaml_bombs(text)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError([Problem("", _yaml_sentence(error))]) from None
    except (ValueError, UnicodeDecodeError, RecursionError) as error:  # e.g. the date 2024-99-99
        raise SpecError([Problem("", f"This is not readable YAML: {error}.")]) from None
    return {} if values is None else values


def to_yaml(spec: Spec) -> str:
    return yaml.safe_dump(spec.model_dump(), sort_keys=False, allow_unicode=True)


def with_changes(values: Mapping[str, Any], changes: Iterable[str]) -> dict[str, Any]:
    """Plain values with `model.layers=4`-style changes applied; each right side is read as YAML."""
    changed: dict[str, Any] = _deep_copy(values)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise SpecError(
                [Problem("", f"'{change}' is not of the form field=value, such as model.layers=4.")]
            )
        *parents, leaf = path.strip().split(".")
        target = changed
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise SpecError([Problem(path, f"'{parent}' holds no fields.")])
        target[leaf] = yaml_values(text) if text.strip() else ""
    return changed


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with those of `changes` in their place, part by part."""
    found = _deep_copy(values)
    for key, value in changes.items():
        known = found.get(key)
        found[key] = merged(known, value) if isinstance(known, dict) and isinstance(value, Mapping) else value
    return found


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'model': {'layers': 4}} -> {'model.layers': 4}, in the order of the fields."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{'model.layers': 4} -> {'model': {'layers': 4}}."""
    values: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        target = values
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    return values


def _deep_copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _deep_copy(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _refuse_yaml_bombs(text: str | bytes) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise SpecError([Problem("", "YAML aliases (*name) are not allowed in a spec.")])
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > SPEC_DEPTH_LIMIT:
            raise SpecError([Problem("", f"The spec is nested deeper than {SPEC_DEPTH_LIMIT} levels.")])


def _yaml_sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"This is not readable YAML{where}: {getattr(error, 'problem', None) or error}."

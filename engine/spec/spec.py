"""Spec of a training run, and the functions that parse it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from engine import request_limits
from engine.hardware.fabric_test import MAX_SIZES
from engine.spec.parts import (
    Adapter,
    BatchSizes,
    Budget,
    Data,
    Guard,
    Model,
    Optimiser,
    Parallel,
    Precision,
    SpecPart,
)
from engine.spec.problems import LONGEST_SHOWN_BITS, Problem, SpecError, describe_type, problems_from
from engine.spec.yaml_events import LOADER, refuse_bad_yaml


class Spec(SpecPart):
    name: str = Field("untitled", min_length=1, max_length=100, title="Name", description="Name of the run")
    pool: str = Field(
        "default", min_length=1, max_length=50, title="Pool", description="Devices the job may use"
    )
    seed: int = Field(1, ge=0, le=2**31 - 1, title="Seed", description="Of weights, dropout and data order")
    priority: Literal["low", "normal", "high"] = Field(
        "normal", title="Priority", description="Higher priorities start first; only team leads may set high"
    )
    preemptible: bool = Field(
        True,
        title="Preemptible",
        description="A job of higher priority may return it to the queue, with a checkpoint",
    )
    kind: Literal["training", "fabric_test"] = Field(
        "training", title="Kind", description="Train, or measure the links between the devices"
    )
    start_from: str = Field(
        "", max_length=300, title="Start from",
        description="Initial weights: a run, run@step, or a Hugging Face folder in the data folder",
    )  # fmt: skip
    requires: str = Field(
        "", max_length=200, title="Requires", description="Labels the pool must have: gpu=h200, site=north"
    )
    model: Model = Model()
    data: Data = Data()
    batch: BatchSizes = BatchSizes()
    parallel: Parallel = Parallel()
    precision: Precision = Precision()
    optimiser: Optimiser = Optimiser()
    adapter: Adapter = Adapter()
    guard: Guard = Guard()
    budget: Budget = Budget()

    @property
    def accumulation(self) -> int:
        """Micro-batches per rank and step: gradient accumulation steps, or micro-batches of the pipeline."""
        return self.batch.global_batch_size // (self.batch.micro_batch_size * self.parallel.data)

    @property
    def num_steps(self) -> int:
        """Steps of the budget; a fabric test runs one message size per step."""
        return min(self.budget.steps, MAX_SIZES) if self.kind == "fabric_test" else self.budget.steps

    @property
    def num_warmup_steps(self) -> int:
        share = self.optimiser.warmup_share
        return self.optimiser.warmup_steps if share is None else round(share * self.budget.steps)

    def zero_stage_in(self, dtype: str) -> int:
        """The ZeRO stage that runs. One data rank in a 32-bit format shards nothing and keeps no master copy, so
        stage 0 gives the same result without ZeRO's copies of every gradient."""
        parallel = self.parallel
        stays = parallel.offload_optimiser == "none" and parallel.offload_parameters == "none"
        is_alone = parallel.data == 1 and stays and dtype in ("fp32", "tf32")
        return 0 if is_alone else parallel.zero_stage

    @property
    def vocab_size(self) -> int:
        return 256 if self.data.tokenizer == "bytes" else self.data.vocab_size


def parse(values: Any) -> Spec:
    """A spec from nested plain values. Raises SpecError with each wrong field, its value and what is allowed."""
    if not isinstance(values, Mapping):
        raise SpecError([Problem("", f"A spec is a mapping of fields, not {describe_type(values)}.")])
    try:
        return Spec.model_validate(values)
    except ValidationError as error:
        raise SpecError(problems_from(error, Spec)) from None


def from_yaml(text: str | bytes) -> Spec:
    """A spec from YAML or JSON. Refuses aliases, deep nesting and more than 64 KiB."""
    return parse(yaml_values(text))


def yaml_values(text: str | bytes) -> Any:
    """The plain values of a YAML text, before any field is checked."""
    size = len(text.encode("utf-8", "surrogatepass")) if isinstance(text, str) else len(text)
    if broken := request_limits.SPEC_BYTES.error(size):
        raise SpecError([Problem("", broken)])
    try:
        refuse_bad_yaml(text)
        values = yaml.load(text, Loader=LOADER)
    except SpecError:
        raise
    except yaml.YAMLError as error:
        raise SpecError([Problem("", _yaml_sentence(error))]) from None
    except (ValueError, OverflowError, RecursionError) as error:  # the date 2024-99-99, the float 1:1:1...1.5
        raise SpecError([Problem("", f"This is not readable YAML: {error}.")]) from None
    if problems := list(_huge_numbers(values)):
        raise SpecError(problems)
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
                [Problem("", f"'{change}' does not have the form field=value, as in model.layers=4.")]
            )
        *parents, leaf = path.strip().split(".")
        if len(parents) >= request_limits.SPEC_DEPTH:
            raise SpecError([Problem("", f"'{path[:100]}' is not a field of a spec.")])
        target = changed
        for parent in parents:
            target = target.setdefault(parent, {})
            if not isinstance(target, dict):
                raise SpecError([Problem(path, f"'{parent}' is not a group of fields.")])
        target[leaf] = None if text.strip() == "null" else yaml_values(text) if text.strip() else ""
    return changed


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with `changes` applied, part by part."""
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


def _huge_numbers(values: Any, path: str = "") -> Iterator[Problem]:
    """No field takes them, and Python does not print the longest of them."""
    if isinstance(values, int) and values.bit_length() > LONGEST_SHOWN_BITS:
        yield Problem(path, request_limits.INTEGER.sentence.format(limit=f"{request_limits.INTEGER:,}"))
    below = (
        values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    )
    for name, value in below:
        yield from _huge_numbers(value, f"{path}.{name}" if path else str(name))


def _yaml_sentence(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"This is not readable YAML{where}: {getattr(error, 'problem', None) or error}."

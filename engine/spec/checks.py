"""Rules that refuse an impossible spec, each with a reason and an alternative."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from engine.spec import grid
from engine.spec.adapters import adapter_problems
from engine.spec.data_rules import data_problems
from engine.spec.model_rules import model_problems
from engine.spec.spec import Problem, Spec, SpecError, flatten
from engine.spec.training_rules import guard_problems, offload_problems, optimiser_problems


@dataclass(frozen=True)
class Hardware:
    """What the rules need to know about the devices of a spec."""

    kind: str = "cpu"  # cpu or cuda
    gang_limit: int | None = None  # devices of the largest gang that the pool can hold; None: unknown
    spans_nodes: bool = False  # whether a gang may sit on several nodes; else its limit is the largest node


def refuse_impossible(spec: Spec, hardware: Hardware | None = None) -> None:
    """Raise SpecError with every rule that the spec breaks. Without hardware, only rules that hold everywhere."""
    rules = _fabric if spec.kind == "fabric_test" else _training
    problems = [*rules(spec), *(_hardware(spec, hardware) if hardware else ())]
    if problems:
        raise SpecError(problems)


def _training(spec: Spec) -> Iterator[Problem]:
    for rules in (
        _shape,
        model_problems,
        _layout,
        _budget,
        data_problems,
        optimiser_problems,
        guard_problems,
        offload_problems,
        adapter_problems,
    ):
        yield from rules(spec)


def _fabric(spec: Spec) -> Iterator[Problem]:
    """Checks the layout only: a fabric test ignores model and batch."""
    for path in ("parallel.tensor", "parallel.stages"):
        if (value := flatten(spec.model_dump())[path]) != 1:
            message = (
                f"A fabric test has no model to split into {value} parts; set its devices with data parallel."
            )
            yield Problem(path, message, {path: 1})
    if spec.parallel.data < 2:
        yield Problem(
            "parallel.data", "A fabric test measures links between devices, so it needs at least two.",
            {"parallel.data": 2},
        )  # fmt: skip


# Objectives of each family. The first family with an objective is the one to propose.
OBJECTIVES: dict[str, tuple[str, ...]] = {
    "encoder-decoder": ("pairs",),
    "encoder": ("masked", "classes"),
    "decoder": ("next_token", "pairs", "chat"),
}


def _shape(spec: Spec) -> Iterator[Problem]:
    model, objective = spec.model, spec.data.objective
    if objective not in OBJECTIVES[model.family]:
        family = next(family for family, served in OBJECTIVES.items() if objective in served)
        yield Problem(
            "model.family",
            f"The objective '{objective}' needs the family '{family}'; the family '{model.family}' supports "
            f"{' and '.join(OBJECTIVES[model.family])}.",
            {"model.family": family},
        )
    if model.encoder_layers is not None and model.family != "encoder-decoder":
        yield Problem(
            "model.encoder_layers",
            f"Only an encoder-decoder has separate encoder layers; the family '{model.family}' uses 'layers', which is "
            f"{model.layers}. Leave the field empty.",
            {"model.encoder_layers": None},
        )
    if model.head_dim is None and model.width % model.heads:
        near = _nearest_divisor(model.width, model.heads)
        yield Problem(
            "model.heads",
            f"{model.heads} heads do not divide the width {model.width}; use {near}.",
            {"model.heads": near},
        )
    if model.heads % model.num_kv_heads:
        near = _nearest_divisor(model.heads, model.num_kv_heads)
        yield Problem(
            "model.kv_heads",
            f"{model.kv_heads} key/value heads do not divide {model.heads} heads; use {near}.",
            {"model.kv_heads": near},
        )
    if model.tied_embeddings and objective == "classes":
        yield Problem(
            "model.tied_embeddings",
            "A classification head has no row per token, so it cannot be tied to the token embedding.",
            {"model.tied_embeddings": False},
        )


def _layout(spec: Spec) -> Iterator[Problem]:
    parallel, batch = spec.parallel, spec.batch
    layers = spec.model.num_encoder_layers + spec.model.num_decoder_layers
    if parallel.stages > layers:
        yield Problem(
            "parallel.stages",
            f"{parallel.stages} stages need at least {parallel.stages} layers; the model has {layers}.",
            {"parallel.stages": layers},
        )
    if parallel.stages > 1 and parallel.zero_stage > 1:
        yield Problem(
            "parallel.zero_stage",
            f"ZeRO stage {parallel.zero_stage} shards gradients, but a pipeline keeps whole gradients across "
            "micro-batches, so DeepSpeed refuses it. Stage 1 works.",
            {"parallel.zero_stage": 1},
        )
    for path, size in _split_by_tensor_ranks(spec).items():
        if size % parallel.tensor:
            near = _nearest_divisor(math.gcd(*_split_by_tensor_ranks(spec).values()), parallel.tensor)
            yield Problem(
                "parallel.tensor",
                f"{parallel.tensor} tensor ranks cannot split {path} = {size} evenly; use {near}.",
                {"parallel.tensor": near},
            )
            break
    unit = batch.micro_batch_size * parallel.data
    if batch.global_batch_size % unit and not batch.full_batch:
        near = max(unit, round(batch.global_batch_size / unit) * unit)
        yield Problem(
            "batch.global_batch_size",
            f"{batch.global_batch_size} is not a multiple of micro-batch x data parallel = "
            f"{batch.micro_batch_size} x {parallel.data} = {unit}; {near} is.",
            {"batch.global_batch_size": near},
        )


def _split_by_tensor_ranks(spec: Spec) -> dict[str, int]:
    model = spec.model
    return {"heads": model.heads, "kv_heads": model.num_kv_heads, "ffn_width": model.ffn_width}


def _budget(spec: Spec) -> Iterator[Problem]:
    if spec.budget.keep_best and not spec.budget.validate_every:
        yield Problem(
            "budget.keep_best",
            "The best checkpoint is the one with the lowest validation loss, but 'validate every' is 0, so the only "
            f"validation is at the end. Validate every {max(1, spec.budget.steps // 10)} steps.",
            {"budget.validate_every": max(1, spec.budget.steps // 10)},
        )
    if spec.optimiser.warmup_steps > spec.budget.steps:
        yield Problem(
            "optimiser.warmup_steps",
            f"{spec.optimiser.warmup_steps} warm-up steps are more than the {spec.budget.steps} steps of the budget.",
            {"optimiser.warmup_steps": max(1, spec.budget.steps // 10)},
        )


def _hardware(spec: Spec, hardware: Hardware) -> Iterator[Problem]:
    if hardware.kind == "cpu" and spec.precision.dtype == "fp16" and spec.kind == "training":
        yield Problem(
            "precision.dtype",
            "DeepSpeed does not support fp16 on CPU devices; fp32 works.",
            {"precision.dtype": "fp32"},
        )
    if hardware.kind == "cpu" and spec.precision.dtype == "tf32":
        yield Problem(
            "precision.dtype",
            "tf32 is a format of NVIDIA tensor cores (Ampere and later), which a CPU does not have; fp32 works.",
            {"precision.dtype": "fp32"},
        )
    limit, need = hardware.gang_limit, spec.parallel.world_size
    if limit is not None and need > limit:
        copy = spec.parallel.tensor * spec.parallel.stages
        fix = {"parallel.data": limit // copy} if copy <= limit else {}
        yield Problem(
            "parallel.data" if fix else "parallel.stages",
            f"{grid.product(spec.parallel)} need {need} devices"
            + ("; " if hardware.spans_nodes else " on one node; the largest node of ")
            + f"pool '{spec.pool}' has {limit}.",
            fix or {"parallel.data": 1, "parallel.tensor": 1, "parallel.stages": 1},
        )


def _nearest_divisor(number: int, wanted: int) -> int:
    divisors = [d for d in range(1, min(number, 256) + 1) if number % d == 0]
    return min(divisors, key=lambda d: (abs(d - wanted), -d))

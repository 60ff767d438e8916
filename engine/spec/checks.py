"""What makes a spec impossible: one rule each, with the reason and the nearest thing that works."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from engine.spec import grid
from engine.spec.spec import Problem, Spec, SpecError, flatten
from engine.spec.training_rules import guard_problems, offload_problems, optimiser_problems


@dataclass(frozen=True)
class Hardware:
    """What the rules need to know of the devices a spec would run on."""

    kind: str = "cpu"  # cpu or cuda
    gang_limit: int | None = None  # devices of the largest gang the pool can hold; None: not known here
    spans_nodes: bool = False  # whether a gang may sit on several nodes; else its limit is the largest node


def refuse_impossible(spec: Spec, hardware: Hardware | None = None) -> None:
    """Raise SpecError with every rule that the spec breaks. Without hardware, only what holds everywhere."""
    rules = _fabric if spec.kind == "fabric_test" else _training
    problems = [*rules(spec), *(_hardware(spec, hardware) if hardware else ())]
    if problems:
        raise SpecError(problems)


def _training(spec: Spec) -> Iterator[Problem]:
    for rules in (_shape, _layout, _budget, optimiser_problems, guard_problems, offload_problems):
        yield from rules(spec)


def _fabric(spec: Spec) -> Iterator[Problem]:
    """Only its layout matters: it trains nothing, so that model and batch may be anything."""
    for path in ("parallel.tensor", "parallel.stages"):
        if (value := flatten(spec.model_dump())[path]) != 1:
            message = (
                f"A fabric test has no model to split in {value}; its devices are counted by data parallel."
            )
            yield Problem(path, message, {path: 1})
    if spec.parallel.data < 2:
        yield Problem(
            "parallel.data", "A fabric test measures links between devices: it needs two at the least.",
            {"parallel.data": 2},
        )  # fmt: skip


# What each family can be trained on; of several, the first is the one to choose.
OBJECTIVES: dict[str, tuple[str, ...]] = {
    "encoder-decoder": ("pairs",),
    "encoder": ("masked", "classes"),
    "decoder": ("next_token", "pairs"),
}


def _shape(spec: Spec) -> Iterator[Problem]:
    model, objective = spec.model, spec.data.objective
    if objective not in OBJECTIVES[model.family]:
        family = next(family for family, served in OBJECTIVES.items() if objective in served)
        yield Problem(
            "model.family",
            f"The objective '{objective}' is learned by the family '{family}', not by '{model.family}', which learns "
            f"{' or '.join(OBJECTIVES[model.family])}.",
            {"model.family": family},
        )
    if model.encoder_layers is not None and model.family != "encoder-decoder":
        yield Problem(
            "model.encoder_layers",
            f"Only an encoder-decoder has layers of two kinds; a model of the family '{model.family}' has "
            f"{model.layers} layers. Leave the field empty.",
            {"model.encoder_layers": None},
        )
    if model.width % model.heads:
        near = _nearest_divisor(model.width, model.heads)
        yield Problem(
            "model.heads",
            f"{model.heads} heads do not divide the width {model.width}; {near} would.",
            {"model.heads": near},
        )
    elif model.positions == "rotary" and (model.width // model.heads) % 2:
        yield Problem(
            "model.positions",
            f"Rotary positions turn pairs of features, and a head has {model.width // model.heads} of them, an odd "
            "number; learned positions work.",
            {"model.positions": "learned"},
        )
    if model.heads % model.num_kv_heads:
        near = _nearest_divisor(model.heads, model.num_kv_heads)
        yield Problem(
            "model.kv_heads",
            f"{model.kv_heads} key/value heads cannot be shared evenly by {model.heads} heads; {near} can.",
            {"model.kv_heads": near},
        )
    if model.tied_embeddings and objective == "classes":
        yield Problem(
            "model.tied_embeddings",
            "A head for classes has no row per token, so it cannot be the token embedding.",
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
            f"ZeRO stage {parallel.zero_stage} shares out gradients, which a pipeline must keep whole across "
            "micro-batches: DeepSpeed refuses it. Stage 1 works.",
            {"parallel.zero_stage": 1},
        )
    for path, size in _cut_by_tensor_ranks(spec).items():
        if size % parallel.tensor:
            near = _nearest_divisor(math.gcd(*_cut_by_tensor_ranks(spec).values()), parallel.tensor)
            yield Problem(
                "parallel.tensor",
                f"{parallel.tensor} tensor ranks cannot share {path} = {size} evenly; {near} can.",
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


def _cut_by_tensor_ranks(spec: Spec) -> dict[str, int]:
    model = spec.model
    return {"heads": model.heads, "kv_heads": model.num_kv_heads, "ffn_width": model.ffn_width}


def _budget(spec: Spec) -> Iterator[Problem]:
    if spec.budget.keep_best and not spec.budget.validate_every:
        yield Problem(
            "budget.keep_best",
            "The best checkpoint is the one with the lowest validation loss, and with 'validate every' 0 there is one "
            f"validation only, at the end. Every {max(1, spec.budget.steps // 10)} steps would do.",
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
            "fp16 is not supported on CPU devices by DeepSpeed; fp32 is.",
            {"precision.dtype": "fp32"},
        )
    if hardware.kind == "cpu" and spec.precision.dtype == "tf32":
        yield Problem(
            "precision.dtype",
            "tf32 is a format of NVIDIA's tensor cores, from Ampere on; a CPU has none. fp32 is the same numbers.",
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

"""Rules about how a model is trained: optimiser, guard and offload, each with its reason and what works instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.spec.problems import Problem
from engine.spec.spec import Spec, flatten

# What L-BFGS needs, field by field, and why.
LBFGS_NEEDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "parallel.data": ((1,), "one rank, since its line search asks for the loss again and again"),
    "parallel.tensor": ((1,), "one rank"),
    "parallel.stages": ((1,), "one rank"),
    "parallel.zero_stage": ((0,), "ZeRO 0, since its curvature spans all parameters"),
    "batch.full_batch": ((True,), "full batches, since it compares the losses of steps"),
    "model.dropout": ((0,), "no dropout, which makes each evaluation another function"),
    "optimiser.gradient_clip": ((0,), "no clipping, since the line search chooses the length of a step"),
    "guard.on_broken_step": (("stop", "roll_back"), "no step left out, since it has stepped before anybody knows"),
    "precision.dtype": (("fp32", "auto", "tf32"), "fp32"),
}  # fmt: skip
# What Adafactor needs: its second moments are factored by the rows and columns of whole matrices.
ADAFACTOR_NEEDS: dict[str, tuple[tuple[Any, ...], str]] = {
    "parallel.zero_stage": ((0,), "ZeRO 0, since the other stages flatten matrices into one vector"),
    "parallel.tensor": ((1,), "whole matrices, and tensor ranks hold shares of them"),
    "precision.dtype": (("fp32", "auto", "tf32"), "fp32, since DeepSpeed flattens matrices for 16-bit formats"),
}  # fmt: skip
NEEDS = {"lbfgs": ("L-BFGS", LBFGS_NEEDS), "adafactor": ("Adafactor", ADAFACTOR_NEEDS)}


def refused_optimiser(spec: Spec) -> Iterator[Problem]:
    """All that is in the way of an optimiser is one problem, with one fix."""
    if spec.optimiser.name not in NEEDS:
        return
    values = flatten(spec.model_dump())
    name, needs = NEEDS[spec.optimiser.name]
    wrong = {path: needed for path, needed in needs.items() if values[path] not in needed[0]}
    if wrong:
        reasons = dict.fromkeys(reason for _, reason in wrong.values())
        fix = {path: allowed[0] for path, (allowed, _) in wrong.items()}
        yield Problem("optimiser.name", f"{name} needs {'; and '.join(reasons)}.", fix)


def refused_guard(spec: Spec) -> Iterator[Problem]:
    guard, budget = spec.guard, spec.budget
    if 0 < guard.spike_factor <= 1:
        yield Problem(
            "guard.spike_factor",
            f"A factor of {guard.spike_factor:g} would call every ordinary loss a spike; it must be more than 1. "
            "Losses seldom double from one step to the next: 2 tells a spike from noise.",
            {"guard.spike_factor": 2.0},
        )
    if guard.on_broken_step == "roll_back" and budget.checkpoint_every == 0:
        yield Problem(
            "guard.on_broken_step",
            "There is no checkpoint to go back to before the end: 'checkpoint every' is 0.",
            {"budget.checkpoint_every": max(1, budget.steps // 10)},
        )
    if guard.patience and budget.validate_every == 0:
        yield Problem(
            "guard.patience",
            f"Nobody can wait for {guard.patience} validations without progress: 'validate every' is 0, so "
            "there is one, at the end.",
            {"budget.validate_every": max(1, budget.steps // 20)},
        )


def refused_offload(spec: Spec) -> Iterator[Problem]:
    parallel = spec.parallel
    for field in ("offload_optimiser", "offload_parameters"):
        if getattr(parallel, field) == "disk":
            yield Problem(
                f"parallel.{field}",
                "Offloading to disk needs DeepSpeed's async_io op, which must be compiled against libaio for some ten "
                "minutes and is not part of this engine; the host's memory works.",
                {f"parallel.{field}": "host"},
            )
    if parallel.offload_optimiser != "none" and parallel.zero_stage == 0:
        yield Problem(
            "parallel.offload_optimiser",
            "DeepSpeed offloads the optimiser's state as ZeRO 1, 2 and 3 keep it; ZeRO 0 cannot.",
            {"parallel.zero_stage": 1},
        )
    if parallel.offload_parameters != "none" and parallel.zero_stage != 3:
        yield Problem(
            "parallel.offload_parameters",
            f"Parameters can be away between uses only where ZeRO 3 fetches them; this is ZeRO {parallel.zero_stage}.",
            {"parallel.zero_stage": 3} if parallel.stages == 1 else {"parallel.offload_parameters": "none"},
        )

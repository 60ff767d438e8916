"""Rules about optimiser, guard and offload, each with a reason and an alternative."""

from __future__ import annotations

from collections.abc import Iterator

from engine.spec.problems import Problem
from engine.spec.spec import Spec, flatten


def optimiser_problems(spec: Spec) -> Iterator[Problem]:
    """All unmet needs of the optimiser are one problem with one fix."""
    row, values = spec.optimiser.row, flatten(spec.model_dump())
    unmet = {path: need for path, need in row.needs.items() if values[path] not in need.allowed}
    if unmet:
        reasons = dict.fromkeys(need.reason for need in unmet.values())
        fix = {path: need.allowed[0] for path, need in unmet.items()}
        yield Problem("optimiser.name", f"{row.title} needs {'; and '.join(reasons)}.", fix)


def guard_problems(spec: Spec) -> Iterator[Problem]:
    guard, budget = spec.guard, spec.budget
    if 0 < guard.spike_factor <= 1:
        yield Problem(
            "guard.spike_factor",
            f"A factor of {guard.spike_factor:g} treats every ordinary loss as a spike; it must be more than 1. "
            "A loss rarely doubles from one step to the next, so 2 separates spikes from noise.",
            {"guard.spike_factor": 2.0},
        )
    if guard.on_broken_step == "roll_back" and budget.checkpoint_every == 0:
        yield Problem(
            "guard.on_broken_step",
            "There is no checkpoint to roll back to before the end: 'checkpoint every' is 0.",
            {"budget.checkpoint_every": max(1, budget.steps // 10)},
        )
    if guard.patience and budget.validate_every == 0:
        yield Problem(
            "guard.patience",
            f"Early stopping needs more than {guard.patience} validations, but 'validate every' is 0, so the only "
            "validation is at the end.",
            {"budget.validate_every": max(1, budget.steps // 20)},
        )


def offload_problems(spec: Spec) -> Iterator[Problem]:
    parallel = spec.parallel
    for field in ("offload_optimiser", "offload_parameters"):
        if getattr(parallel, field) == "disk":
            yield Problem(
                f"parallel.{field}",
                "Offloading to disk needs DeepSpeed's async_io op, which takes about ten minutes to compile against "
                "libaio and is not part of this engine; host memory works.",
                {f"parallel.{field}": "host"},
            )
    if parallel.offload_optimiser != "none" and parallel.zero_stage == 0:
        yield Problem(
            "parallel.offload_optimiser",
            "DeepSpeed offloads optimiser state with ZeRO 1, 2 and 3 only; this is ZeRO 0.",
            {"parallel.zero_stage": 1},
        )
    if parallel.offload_parameters != "none" and parallel.zero_stage != 3:
        yield Problem(
            "parallel.offload_parameters",
            f"DeepSpeed offloads parameters with ZeRO 3 only; this is ZeRO {parallel.zero_stage}.",
            {"parallel.zero_stage": 3} if parallel.stages == 1 else {"parallel.offload_parameters": "none"},
        )

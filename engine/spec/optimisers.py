"""Table of optimisers, one row each.

To add one: write its row here and its factory in engine/rank/train/optimisers.py, which refuses to load without it. The
spec, its rules, the form, the planner and the tests read the row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from engine.spec.spec import Spec

DEFAULT_NAME = "adamw"
# Fields of the spec's optimiser part that most optimisers read.
COMMON_FIELDS = frozenset(
    {
        "learning_rate",
        "schedule",
        "warmup_steps",
        "warmup_share",
        "floor",
        "weight_decay",
        "gradient_clip",
        "label_smoothing",
    }
)
ADAM_FIELDS = COMMON_FIELDS | {"beta1", "beta2", "epsilon"}
LBFGS_HISTORY = 10  # pairs of steps and gradients in the curvature estimate, each as large as the model
FP32_FORMATS = ("fp32", "auto", "tf32")


class Need(NamedTuple):
    """A condition on one field of the spec."""

    allowed: tuple[Any, ...]  # the first value is the proposed fix
    reason: str  # completes the sentence "<title> needs ..."


@dataclass(frozen=True)
class OptimiserRow:
    """One optimiser. `state_bytes` gives the bytes of fp32 state per parameter for a spec that uses it."""

    name: str  # in the spec
    title: str  # in messages
    state_bytes: Callable[[Spec], float]
    fields: frozenset[str] = COMMON_FIELDS
    needs: Mapping[str, Need] = field(default_factory=dict)  # by dotted field
    has_closure: bool = False  # step() evaluates the loss itself, several times
    growth_steps: int = 1  # steps until the state has its full size
    is_state_saved: bool = True  # in checkpoints; without it a resumed run starts with empty state

    @property
    def needs_fp32(self) -> bool:
        need = self.needs.get("precision.dtype")
        return need is not None and need.allowed == FP32_FORMATS


def _sgd_bytes(spec: Spec) -> float:
    return 4.0 if spec.optimiser.momentum else 0.0


def _adafactor_bytes(spec: Spec) -> float:
    """Row and column means of each matrix. ZeRO flattens matrices, which makes the second moment full-sized."""
    return 4.0 if spec.parallel.zero_stage else 8 / spec.model.width


def _lbfgs_bytes(spec: Spec) -> float:
    """The history, and four vectors of one step: direction, gradient, previous gradient, position."""
    return 4.0 * (2 * LBFGS_HISTORY + 4)


_ROWS = (
    OptimiserRow("adamw", "AdamW", lambda spec: 8.0, fields=ADAM_FIELDS),
    OptimiserRow("adam", "Adam", lambda spec: 8.0, fields=ADAM_FIELDS),
    OptimiserRow("sgd", "SGD", _sgd_bytes, fields=COMMON_FIELDS | {"momentum"}),
    OptimiserRow(
        "adafactor", "Adafactor", _adafactor_bytes,
        needs={
            "parallel.zero_stage": Need((0,), "ZeRO 0, because the other stages flatten matrices into one vector"),
            "parallel.tensor": Need((1,), "whole matrices, which tensor parallelism splits"),
            "precision.dtype": Need(FP32_FORMATS, "fp32, because DeepSpeed flattens matrices in 16-bit formats"),
        },
    ),
    OptimiserRow(
        "lbfgs", "L-BFGS", _lbfgs_bytes,
        fields=COMMON_FIELDS - {"warmup_steps", "warmup_share"},
        needs={
            "parallel.data": Need((1,), "one rank, because its line search evaluates the loss several times a step"),
            "parallel.tensor": Need((1,), "one rank"),
            "parallel.stages": Need((1,), "one rank"),
            "parallel.zero_stage": Need((0,), "ZeRO 0, because its curvature estimate spans all parameters"),
            "batch.full_batch": Need((True,), "full batches, because it compares the losses of different steps"),
            "model.dropout": Need((0,), "no dropout, because each evaluation must compute the same function"),
            "optimiser.gradient_clip": Need((0,), "no clipping, because the line search sets the step length"),
            "guard.on_broken_step": Need(
                ("stop", "roll_back"), "no skipped steps, because the update is applied before the step is checked"
            ),
            "precision.dtype": Need(FP32_FORMATS, "fp32"),
        },
        has_closure=True,
        growth_steps=LBFGS_HISTORY + 1,
        is_state_saved=False,
    ),
)  # fmt: skip
OPTIMISERS: dict[str, OptimiserRow] = {row.name: row for row in _ROWS}

if TYPE_CHECKING:
    OptimiserName = str  # a type checker cannot read a Literal made from a table
else:
    OptimiserName = Literal[tuple(OPTIMISERS)]

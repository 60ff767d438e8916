"""Steady steps of a run, without warm-up, validation and checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import DeviceFacts, Facts, Floats, RankFacts

Ints = NDArray[np.int64]
Series = tuple[Ints, Floats]  # steps and values

WINDOW_STEPS = 256  # the newest steps: the run as it is now, at a read cost independent of its length
WARM_UP_STEPS = 5  # of each attempt: allocators fill, kernels are chosen
TRIMMED_SHARE = 0.05  # of the steps at either end of their durations: mostly disturbed by other processes


@dataclass(frozen=True)
class RecordedSteps:
    """What the ranks of a run recorded in a window of steps, the run's own step times, and the layout."""

    spec: Mapping[str, Any]
    first_step: int
    last_step: int
    series: Mapping[tuple[int, str], Series]  # by rank and metric
    step_s: Series
    seats: Mapping[int, tuple[int, int, str]]  # rank -> stage, data rank, device
    world_size: int
    starts: Collection[int] = (1,)  # first step of each attempt
    devices: tuple[DeviceFacts, ...] = ()


def build_facts(recorded: RecordedSteps) -> Facts:
    """The facts of the steady steps; without steps if there are none."""
    budget = recorded.spec.get("budget", {})
    intervals = [budget.get(name, 0) for name in ("validate_every", "checkpoint_every")]
    steps = np.arange(max(1, recorded.first_step), recorded.last_step + 1, dtype=np.int64)
    steps = steps[get_steady_mask(steps, recorded.starts, intervals)]
    complete, phases, coverage = align_steps(steps, recorded.series)
    facts = Facts(
        spec=recorded.spec, devices=recorded.devices, world_size=recorded.world_size, coverage=coverage,
        first_step=int(complete[0]) if len(complete) else 0, last_step=int(complete[-1]) if len(complete) else 0,
    )  # fmt: skip
    if not len(complete):
        return facts.replace(
            nothing=f"No steady step yet: {recorded.last_step} done, and the first {WARM_UP_STEPS} warm up."
        )
    mean_s = np.mean([np.sum(list(rank.values()), axis=0) for rank in phases.values()], axis=0)
    step_s = _get_values_at(complete, *recorded.step_s)
    step_s = np.where(np.isfinite(step_s), step_s, mean_s)
    keep = get_trim_mask(step_s)
    ranks = tuple(
        RankFacts(
            rank, *recorded.seats.get(rank, (0, rank, "")),
            phases={name: values[keep] for name, values in phases_of_rank.items()},
            payload_bytes=_get_mean(recorded.series.get((rank, "collective_bytes"))),
        )
        for rank, phases_of_rank in sorted(phases.items())
    )  # fmt: skip
    return facts.replace(ranks=ranks, step_s=step_s[keep])


def get_steady_mask(
    steps: Ints, starts: Collection[int], intervals: Collection[int] = ()
) -> NDArray[np.bool_]:
    """Which of these step numbers (from 1) are steady. `starts`: first step of each attempt. `intervals`: of validation
    and checkpoints; their steps and the next ones are left out unless fewer than half of the others remain."""
    keep = np.ones(len(steps), dtype=bool)
    for start in starts:
        keep &= ~((steps >= start) & (steps < start + WARM_UP_STEPS))
    disturbed = np.zeros(len(steps), dtype=bool)
    for interval in intervals:
        if interval > 0:
            disturbed |= (steps % interval == 0) | (steps % interval == 1) & (steps > 1)
    undisturbed = keep & ~disturbed
    return undisturbed if undisturbed.sum() * 2 >= keep.sum() else keep


def align_steps(
    steps: Ints, series: Mapping[tuple[int, str], Series]
) -> tuple[Ints, dict[int, dict[str, Floats]], float]:
    """The steps that each recorded phase of each rank has; seconds by rank and phase; and the share of `steps` that
    these are."""
    if not len(steps):
        return steps, {}, 0.0
    table = {key: _get_values_at(steps, *series[key]) for key in series if key[1] in STEP_PHASES}
    table = {key: values for key, values in table.items() if np.isfinite(values).any()}
    if not table:
        return steps[:0], {}, 0.0
    is_complete = np.all([np.isfinite(values) for values in table.values()], axis=0)
    phases: dict[int, dict[str, Floats]] = {}
    for (rank, phase), values in table.items():
        phases.setdefault(rank, {})[phase] = values[is_complete]
    return steps[is_complete], phases, float(is_complete.mean())


def get_trim_mask(step_s: Floats) -> NDArray[np.bool_]:
    """All but the slowest and fastest 5 %; a stall in every tenth step stays in."""
    cut = int(len(step_s) * TRIMMED_SHARE)
    keep = np.ones(len(step_s), dtype=bool)
    if cut:
        order = np.argsort(step_s, kind="stable")
        keep[order[:cut]] = keep[order[-cut:]] = False
    return keep


def _get_values_at(steps: Ints, recorded: Ints, values: Floats) -> Floats:
    """`values` at `steps`, NaN at steps without a record."""
    found = np.full(len(steps), np.nan)
    indices = np.searchsorted(steps, recorded)
    is_there = (indices < len(steps)) & (steps[np.minimum(indices, len(steps) - 1)] == recorded)
    found[indices[is_there]] = values[is_there]
    return found


def _get_mean(series: Series | None) -> float | None:
    return float(series[1].mean()) if series is not None and len(series[1]) else None

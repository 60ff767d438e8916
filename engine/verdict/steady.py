"""Which steps of a run count, and the facts of those: no warm-up, nothing next to a validation or a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.telemetry.metrics import STEP_PHASES
from engine.verdict.facts import Device, Facts, Floats, Rank

Ints = NDArray[np.int64]

WINDOW_STEPS = 256  # the newest: what a run does now, and a read that stays as small however long it is
WARM_UP_STEPS = 5  # of each attempt: allocators fill, kernels are chosen
TRIMMED_SHARE = 0.05  # of the steps at either end of their durations: somebody else's doing, mostly


def steady(steps: Ints, starts: Collection[int], every: Collection[int] = ()) -> NDArray[np.bool_]:
    """Of these step numbers (from 1), those that count. `starts`: first step of each attempt; `every`: the intervals
    at which something is validated or saved, whose step and the one after it are left out unless hardly any is left."""
    keep = np.ones(len(steps), dtype=bool)
    for start in starts:
        keep &= ~((steps >= start) & (steps < start + WARM_UP_STEPS))
    marked = np.zeros(len(steps), dtype=bool)
    for interval in every:
        if interval > 0:
            marked |= (steps % interval == 0) | (steps % interval == 1) & (steps > 1)
    return keep & ~marked if (keep & ~marked).sum() * 2 >= keep.sum() else keep


def aligned(
    steps: Ints, told: Mapping[tuple[int, str], tuple[Ints, Floats]]
) -> tuple[Ints, dict[int, dict[str, Floats]], float]:
    """The steps of which every rank told every phase that it tells at all; by rank and phase their seconds; and which
    share of `steps` that is. `told`: (rank, phase) -> steps and seconds."""
    if not len(steps):
        return steps, {}, 0.0
    table = {key: _on(steps, *series) for key, series in told.items() if key[1] in STEP_PHASES}
    table = {key: values for key, values in table.items() if np.isfinite(values).any()}
    if not table:
        return steps[:0], {}, 0.0
    whole = np.all([np.isfinite(values) for values in table.values()], axis=0)
    found: dict[int, dict[str, Floats]] = {}
    for (rank, phase), values in table.items():
        found.setdefault(rank, {})[phase] = values[whole]
    return steps[whole], found, float(whole.mean())


def trimmed(step_s: Floats) -> NDArray[np.bool_]:
    """Without the slowest and the fastest steps; what comes back every tenth step stays in."""
    cut = int(len(step_s) * TRIMMED_SHARE)
    keep = np.ones(len(step_s), dtype=bool)
    if cut:
        order = np.argsort(step_s, kind="stable")
        keep[order[:cut]] = keep[order[-cut:]] = False
    return keep


def _on(steps: Ints, at: Ints, values: Floats) -> Floats:
    """`values` at `steps`, NaN where there is none."""
    found = np.full(len(steps), np.nan)
    places = np.searchsorted(steps, at)
    inside = (places < len(steps)) & (steps[np.minimum(places, len(steps) - 1)] == at)
    found[places[inside]] = values[inside]
    return found


@dataclass(frozen=True)
class Told:
    """What the ranks of a run have recorded in a window of steps, as it was read: series by (rank, metric), the run's
    own step times, and where each rank sits."""

    spec: Mapping[str, Any]
    first_step: int
    last_step: int
    series: Mapping[tuple[int, str], tuple[Ints, Floats]]
    step_s: tuple[Ints, Floats]
    seats: Mapping[int, tuple[int, int, str]]  # rank -> stage, data rank, device
    world_size: int
    starts: Collection[int] = (1,)  # first step of each attempt
    devices: tuple[Device, ...] = ()


def facts_of(told: Told) -> Facts:
    """The facts of the steps that count; without steps if none does."""
    budget = told.spec.get("budget", {})
    every = [budget.get(name, 0) for name in ("validate_every", "checkpoint_every")]
    steps = np.arange(max(1, told.first_step), told.last_step + 1, dtype=np.int64)
    steps = steps[steady(steps, told.starts, every)]
    whole, phases, coverage = aligned(steps, told.series)
    facts = Facts(
        spec=told.spec, devices=told.devices, world_size=told.world_size, coverage=coverage,
        first_step=int(whole[0]) if len(whole) else 0, last_step=int(whole[-1]) if len(whole) else 0,
    )  # fmt: skip
    if not len(whole):
        done = told.last_step
        return facts.without(
            nothing=f"No steady step yet: {done} done, and the first {WARM_UP_STEPS} warm up."
        )
    mean_s = np.mean([np.sum(list(rank.values()), axis=0) for rank in phases.values()], axis=0)
    step_s = _on(whole, *told.step_s)
    step_s = np.where(np.isfinite(step_s), step_s, mean_s)
    keep = trimmed(step_s)
    ranks = tuple(
        Rank(
            rank, *told.seats.get(rank, (0, rank, "")),
            phases={name: values[keep] for name, values in of_rank.items()},
            payload_bytes=_mean_of(told.series.get((rank, "collective_bytes"))),
        )
        for rank, of_rank in sorted(phases.items())
    )  # fmt: skip
    return facts.without(ranks=ranks, step_s=step_s[keep])


def _mean_of(series: tuple[Ints, Floats] | None) -> float | None:
    return float(series[1].mean()) if series is not None and len(series[1]) else None

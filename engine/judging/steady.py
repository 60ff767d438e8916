"""Which steps of a run count, and the facts of those: no warm-up, nothing next to a validation or a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from engine.judging.facts import Floats
from engine.telemetry.metrics import STEP_PHASES

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
    table = {key: _on(steps, *series) for key, series in told.items() if key[1] in STEP_PHASES}
    table = {key: values for key, values in table.items() if np.isfinite(values).any()}
    if not table or not len(steps):
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

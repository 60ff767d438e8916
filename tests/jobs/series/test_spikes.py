"""A spike of one step is visible at every zoom level."""

from __future__ import annotations

import numpy as np
import pytest

from jobs import series
from jobs.models import Batch
from jobs.series import codec, write
from jobs.series.codec import Columns

pytestmark = pytest.mark.slow

TRIALS = 100  # of each of ten seeds
POINTS = 100  # so that 64 times as many are read as summaries
ZOOMS = (1, 7, 40, 200)  # the whole run, a seventh of it, ... each window anywhere around the spike


@pytest.mark.parametrize("seed", range(10))
def test_a_planted_spike_is_seen_at_every_zoom_level_in_a_thousand_trials(run, seed):
    dice = np.random.default_rng(seed)
    for trial, (length, step, height) in enumerate(_plant(run, dice)):
        for zoom in ZOOMS:
            size = max(1, length // zoom)
            lo = int(dice.integers(max(0, step - size + 1), step + 1))
            (line,) = series.read([run.id], [f"m{trial}"], points=POINTS, lo=lo, hi=lo + size - 1)
            seen = line.max if height > 0 else line.min
            (where,) = np.flatnonzero(seen == height)
            following = line.x[where + 1] if where + 1 < len(line.x) else np.inf
            assert line.x[where] <= step < following, (trial, zoom)
            assert len(line.x) <= POINTS


def _plant(run, dice) -> list[tuple[int, int, float]]:
    """A walk of random length for each trial with one value far off; sealed, folded and still in the journal."""
    stream_id, _ = write._stream(run.id, 1, "rank0")
    found, groups = [], {}
    for trial in range(TRIALS):
        length = int(dice.integers(5_000, 14_000))
        step, height = int(dice.integers(length)), float(dice.choice([-1, 1]) * dice.uniform(1e4, 1e6))
        values = np.cumsum(dice.normal(size=length))
        values[step] = height
        steps = np.arange(length)
        groups[f"m{trial}", "run"] = Columns(steps, 10**15 + steps * 10**5, values)
        found.append((length, step, height))
    for seq, part in enumerate((slice(9_000), slice(9_000, 11_000), slice(11_000, None))):
        some = {key: columns.only(part) for key, columns in groups.items() if len(columns.steps[part])}
        data = codec.encode_batch(some)
        Batch.objects.create(stream_id=stream_id, seq=seq, first_step=0, first_at_us=10**15, data=data)
        if seq < 2:
            write.fold(stream_id)
    return found

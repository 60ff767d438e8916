"""Findings about loss curves: their names, thresholds and sentences."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from engine.health.curves import Blocks, Curve, scatter

Severity = Literal["bad", "warn", "note", ""]

SURE = 4.0  # standard deviations of a block's median that a change must exceed
SURE_RISE = 6.0  # of a rise from the lowest of many medians, which is low by chance too
LOST_SHARE = 0.5  # of its progress, that a diverged run has lost again
RISE_SHARE = 0.02  # of the value, below which a rise is not reported
FLAT_SHARE = 0.01  # of the value or the progress, below which a fall is not one
PLATEAU_SHARE = 0.4  # of the run without further improvement
WORSE_VALIDATION = 0.02  # of the lowest validation loss
SPIKE_SIGMAS, SPIKE_SHARE = 10.0, 0.2
SPIKE_GAP = 3  # points between two spikes
START_SHARE = 0.05  # of the points, where the loss falls too fast to find spikes


class HealthFinding(NamedTuple):
    """One thing that a curve shows. `step`: where it began."""

    name: str
    severity: Severity
    sentence: str
    step: int | None = None


def find_missing_numbers(curve: Curve, what: str) -> HealthFinding | None:
    is_bad = ~np.isfinite(curve.values)
    if not is_bad.any():
        return None
    if is_bad[-1]:
        last_good = np.flatnonzero(~is_bad)
        start = int(curve.steps[last_good[-1] + 1 if len(last_good) else 0])
        return HealthFinding("nan", "bad", f"The {what} has not been a number since step {start:,}.", start)
    first = int(curve.steps[np.flatnonzero(is_bad)[0]])
    count = int(is_bad.sum())
    sentence = f"The {what} was not a number at {count:,} of {len(curve):,} steps, first at step {first:,}."
    return HealthFinding("gaps", "warn", sentence, first)


def find_divergence(blocks: Blocks, what: str) -> HealthFinding | None:
    """The end lies above the start, or half of what was gained is lost again."""
    first, best, last = float(blocks.medians[0]), float(blocks.medians.min()), float(blocks.medians[-1])
    rise = max(SURE_RISE * blocks.noise, RISE_SHARE * abs(first))
    start = int(blocks.first_steps[int(blocks.medians.argmin())])
    if last > first + rise:
        sentence = f"The {what} ends at {last:.4g}, above its start at {first:.4g}; it was lowest near step {start:,}."
        return HealthFinding("diverged", "bad", sentence, start)
    if last - best > max(rise, LOST_SHARE * (first - best)):
        sentence = f"The {what} has risen from {best:.4g} near step {start:,} to {last:.4g}."
        return HealthFinding("diverged", "bad", sentence, start)
    return None


def find_stagnation(blocks: Blocks, what: str) -> HealthFinding | None:
    """No fall beyond the noise, in the whole run or in the last PLATEAU_SHARE of it."""
    first, last = float(blocks.medians[0]), float(blocks.medians[-1])
    if blocks.progress <= max(SURE * blocks.noise, FLAT_SHARE * abs(first)):
        sentence = f"The {what} has not fallen: {first:.4g} at the start, {last:.4g} now."
        return HealthFinding("not learning", "warn", sentence, int(blocks.first_steps[0]))
    threshold = max(SURE * blocks.noise, FLAT_SHARE * blocks.progress)
    reference, improved = first, 0
    for index, median in enumerate(blocks.medians):
        if median < reference - threshold:
            reference, improved = float(median), index
    since = improved + 1
    if since >= len(blocks.medians) * (1 - PLATEAU_SHARE):
        return None
    step = int(blocks.first_steps[since])
    share = 1 - since / len(blocks.medians)
    sentence = f"The {what} has not fallen further since step {step:,}, {share:.0%} of the run: {last:.4g}."
    return HealthFinding("plateau", "warn", sentence.replace("%", " %"), step)


def find_overfitting(
    training: Curve | None, validation: Curve, names: tuple[str, str]
) -> HealthFinding | None:
    """The validation loss rises while the training loss falls."""
    curve = validation.finite
    if len(curve) < 4:
        return None
    index = int(curve.values.argmin())
    later = curve.values[index + 1 :]
    if len(later) < 2:
        return None
    best, last = float(curve.values[index]), float(np.median(later[-3:]))
    steady = curve.values[len(curve.values) // 3 :]
    noise = scatter(np.diff(steady, n=2)) / np.sqrt(6) if len(steady) >= 6 else 0.0
    if last - best <= max(WORSE_VALIDATION * abs(best), SURE * noise):
        return None
    step = int(curve.steps[index])
    change = f"The {names[1]} was lowest at step {step:,} ({best:.4g}) and is {last:.4g} now"
    if training is None or not _falls_after(training, step):
        return HealthFinding("validation rises", "warn", f"{change}.", step)
    sentence = f"{change}, while the {names[0]} still falls: overfitting. The checkpoint near step {step:,} is better."
    return HealthFinding("overfitting", "warn", sentence, step)


def _falls_after(training: Curve, step: int) -> bool:
    curve = training.finite
    if len(curve) < 10:
        return False
    num_points = max(5, len(curve) // 20)
    before, after = curve.median_near(step, num_points), float(np.median(curve.values[-num_points:]))
    return after < before - FLAT_SHARE * abs(before)


def find_spikes(curve: Curve, blocks: Blocks, what: str) -> HealthFinding | None:
    """Rises far outside of the noise that go away again."""
    curve = curve.finite
    baseline = np.interp(curve.steps, blocks.centres, blocks.medians)
    above = curve.values - baseline
    start = int(len(curve) * START_SHARE)
    sigma = scatter(above[start:])
    is_spike = above > np.maximum(SPIKE_SIGMAS * sigma, SPIKE_SHARE * np.abs(baseline))
    is_spike[:start] = False
    places = np.flatnonzero(is_spike)
    if not len(places) or len(places) > len(curve) // 10:  # what happens all the time is noise
        return None
    groups = np.split(places, np.flatnonzero(np.diff(places) > SPIKE_GAP) + 1)
    highest = int(places[curve.values[places].argmax()])
    count = "One spike" if len(groups) == 1 else f"{len(groups):,} spikes"
    sentence = (
        f"{count} of the {what}, the highest at step {int(curve.steps[highest]):,}: "
        f"{curve.values[highest]:.4g} over {baseline[highest]:.4g}."
    )
    return HealthFinding("spikes", "note", sentence, int(curve.steps[places[0]]))

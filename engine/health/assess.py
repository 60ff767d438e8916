"""Health of a run from its loss curves."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine.health.curves import Curve, split_blocks
from engine.health.findings import (
    HealthFinding,
    find_divergence,
    find_missing_numbers,
    find_overfitting,
    find_spikes,
    find_stagnation,
)

HEALTH_VERSION = 1
TOO_SHORT = "Too few values of a loss to judge: {count}; ten are needed."
NO_LOSS = "The run has no loss."


class TrainingHealth(msgspec.Struct, frozen=True):
    """`name`: improving, unknown, or the gravest finding (nan, diverged, overfitting, validation rises, not learning,
    plateau, gaps, spikes). `severity`: bad, warn, note or ''."""

    name: str
    severity: str
    sentence: str
    findings: tuple[HealthFinding, ...] = ()
    version: int = HEALTH_VERSION


def assess(
    training: Curve | None,
    validation: Curve | None,
    names: tuple[str, str] = ("training loss", "validation loss"),
) -> TrainingHealth:
    """A pure function of both curves; either may be missing. `names`: how sentences call them."""
    main = training if training is not None and len(training) else validation
    if main is None or not len(main):
        return TrainingHealth("unknown", "", NO_LOSS)
    what = names[0] if main is training else names[1]
    findings = tuple(_find_all(training if main is training else None, validation, what, names))
    if findings:
        first = findings[0]
        return TrainingHealth(first.name, first.severity, first.sentence, findings)
    blocks = split_blocks(main)
    if blocks is None:
        return TrainingHealth("unknown", "", TOO_SHORT.format(count=len(main.finite)))
    sentence = f"The {what} has fallen from {blocks.medians[0]:.4g} to {blocks.medians[-1]:.4g}."
    return TrainingHealth("improving", "", sentence)


def _find_all(
    training: Curve | None, validation: Curve | None, what: str, names: tuple[str, str]
) -> Iterator[HealthFinding]:
    """The gravest kind first."""
    main = training if training is not None else validation
    assert main is not None
    numbers, blocks = find_missing_numbers(main, what), split_blocks(main)
    divergence = find_divergence(blocks, what) if blocks else None
    overfitting = None
    if validation is not None and not divergence:
        overfitting = find_overfitting(training, validation, names)
    if numbers and numbers.severity == "bad":
        yield numbers
    if divergence and not (numbers and numbers.severity == "bad"):
        yield divergence
    if overfitting:
        yield overfitting
    if blocks and not divergence and (stagnation := find_stagnation(blocks, what)):
        yield stagnation
    if numbers and numbers.severity != "bad":
        yield numbers
    if blocks and (spikes := find_spikes(main, blocks, what)):
        yield spikes

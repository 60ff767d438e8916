"""Differences between the spec of a checkpoint and the spec that resumes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.checkpoints.counters import Counters
from engine.spec.spec import Spec, SpecError, flatten, parse

# The layout has a note of its own, and the others change no number of the training.
IGNORED_FIELDS = frozenset({
    "batch.micro_batch_size", "name", "pool", "priority", "preemptible", "requires", "start_from",
})  # fmt: skip
IGNORED_PARTS = ("parallel.",)
# Decide when a run saves, validates and ends; a change of any other field changes what is learned.
HARMLESS_PARTS = ("budget.",)
CONSEQUENCES = {
    "seed": "Data and dropout continue in the order of the new seed.",
    "model.dropout": "Dropout continues with the new share.",
    "optimiser.learning_rate": "The schedule continues at the present step.",
    "budget.steps": "The learning rate follows the schedule for the new number of steps.",
}


@dataclass(frozen=True)
class FieldChange:
    """One field that differs: path, saved value, value now."""

    field: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.field} {_show(self.before)} -> {_show(self.now)}"

    @property
    def is_harmless(self) -> bool:
        return self.field.startswith(HARMLESS_PARTS) and self.field != "budget.steps"


def find_changes(saved: Mapping[str, Any], spec: Spec) -> list[FieldChange]:
    """Return the fields of `spec` that differ from a saved spec, without those of the layout.

    A saved spec that is not valid any more is compared as it is: fields that it does not have are left out.
    """
    now = flatten(spec.model_dump())
    try:
        before = flatten(parse(dict(saved)).model_dump())
    except SpecError:
        before = flatten(saved)
    return [
        FieldChange(field, before[field], value)
        for field, value in now.items()
        if field in before
        and before[field] != value
        and field not in IGNORED_FIELDS
        and not field.startswith(IGNORED_PARTS)
    ]


def describe_changes(changes: list[FieldChange], counters: Counters, spec: Spec) -> str:
    """Return the note for the run: every field with both values, then what follows from the changes."""
    if not changes:
        return ""
    listed = "; ".join(map(str, changes))
    sentences = [f"The spec differs from that of the checkpoint: {listed}."]
    return " ".join([*sentences, *_consequences(changes, counters, spec)])


def _consequences(changes: list[FieldChange], counters: Counters, spec: Spec) -> Iterator[str]:
    fields = {change.field for change in changes}
    yield from (text for field, text in CONSEQUENCES.items() if field in fields)
    position = counters.step * spec.batch.global_batch_size
    if position != counters.samples:
        moved = "are skipped" if position > counters.samples else "are read again"
        yield (
            f"Tokens and samples continue to count from {counters.tokens:,} and {counters.samples:,}; the position in "
            f"the data is step x batch, so {abs(position - counters.samples):,} samples {moved}."
        )


def _show(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

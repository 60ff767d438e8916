"""What a run's model makes of held-out examples, as the run page tells it: each with how its output evolved."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.models import Run, RunOutput

ROWS_LIMIT = 400  # of all examples together, the newest


@dataclass(frozen=True)
class Example:
    """One held-out example. `outputs`, (step, text), newest first; steps that said the same as the one before are
    left out."""

    prompt: str
    reference: str
    outputs: tuple[tuple[int, str], ...]
    num_steps: int


def of(run: Run) -> list[Example]:
    by_number: dict[int, list[RunOutput]] = {}
    for one in run.outputs.order_by("-step", "number")[:ROWS_LIMIT]:
        by_number.setdefault(one.number, []).append(one)
    return [_example(by_number[number]) for number in sorted(by_number)]


def _example(rows: list[RunOutput]) -> Example:
    """`rows`: newest first. Of equal outputs in a row the earliest step stands."""
    told: list[tuple[int, str]] = []
    for row in rows:
        if told and told[-1][1] == row.output:
            told[-1] = (row.step, row.output)
        else:
            told.append((row.step, row.output))
    return Example(rows[0].prompt, rows[0].reference, tuple(told), len(rows))

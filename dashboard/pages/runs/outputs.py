"""Sample outputs of a run's model for held-out examples, over the steps."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.models import Run, RunOutput

ROWS_LIMIT = 400  # newest rows of all examples together


@dataclass(frozen=True)
class SampleOutput:
    """A held-out example. `outputs`: (step, text), newest first, without steps that repeat the previous text."""

    prompt: str
    reference: str
    outputs: tuple[tuple[int, str], ...]
    num_steps: int


def list_outputs(run: Run) -> list[SampleOutput]:
    by_number: dict[int, list[RunOutput]] = {}
    for one in run.outputs.order_by("-step", "number")[:ROWS_LIMIT]:
        by_number.setdefault(one.number, []).append(one)
    return [_build_output(by_number[number]) for number in sorted(by_number)]


def _build_output(rows: list[RunOutput]) -> SampleOutput:
    """Build an example from rows that are sorted newest first. Of equal consecutive outputs the earliest is shown."""
    outputs: list[tuple[int, str]] = []
    for row in rows:
        if outputs and outputs[-1][1] == row.output:
            outputs[-1] = (row.step, row.output)
        else:
            outputs.append((row.step, row.output))
    return SampleOutput(rows[0].prompt, rows[0].reference, tuple(outputs), len(rows))

"""Storage and history of model outputs on held-out examples."""

from __future__ import annotations

from dataclasses import dataclass

from engine.telemetry.wire import SpoolLine
from jobs.models import Attempt, Run, RunOutput

TEXT_LIMIT = 2000  # characters of a prompt, a reference or an output
EXAMPLES_LIMIT = 100  # of one step
MAX_ROWS = 400  # read for all examples of a run together, the newest


@dataclass(frozen=True)
class OutputHistory:
    """Outputs of one held-out example as (step, text), newest first; repeated ones count once, at the first step."""

    prompt: str
    reference: str
    outputs: tuple[tuple[int, str], ...]
    num_steps: int


def parse_line(line: SpoolLine) -> list[RunOutput]:
    """Return the row of an output line; an empty list if the line has no step or no valid example number."""
    if line.step is None or line.number is None or not 0 <= line.number < EXAMPLES_LIMIT:
        return []
    texts = {name: line.texts.get(name, "")[:TEXT_LIMIT] for name in ("prompt", "reference", "output")}
    return [RunOutput(step=line.step, number=line.number, **texts)]


def store(attempt: Attempt, outputs: list[RunOutput]) -> None:
    """Store outputs. The output of a later attempt replaces that of an earlier one at the same step."""
    run_id = Run.objects.values_list("id", flat=True).get(job_id=attempt.job_id)
    newest = {(output.step, output.number): output for output in outputs}
    for output in newest.values():
        output.run_id = run_id
    RunOutput.objects.bulk_create(
        newest.values(),
        update_conflicts=True,
        unique_fields=["run", "number", "step"],
        update_fields=["prompt", "reference", "output"],
    )


def get_output_histories(run: Run) -> list[OutputHistory]:
    """Return the outputs of a run by example."""
    by_number: dict[int, list[RunOutput]] = {}
    for one in run.outputs.order_by("-step", "number")[:MAX_ROWS]:
        by_number.setdefault(one.number, []).append(one)
    return [_history(by_number[number]) for number in sorted(by_number)]


def _history(rows: list[RunOutput]) -> OutputHistory:
    """`rows`: newest first."""
    distinct: list[tuple[int, str]] = []
    for row in rows:
        if distinct and distinct[-1][1] == row.output:
            distinct[-1] = (row.step, row.output)
        else:
            distinct.append((row.step, row.output))
    return OutputHistory(rows[0].prompt, rows[0].reference, tuple(distinct), len(rows))

"""Storage of model outputs on held-out examples."""

from __future__ import annotations

from engine.telemetry.wire import SpoolLine
from jobs.models import Attempt, Run, RunOutput

TEXT_LIMIT = 2000  # characters of a prompt, a reference or an output
EXAMPLES_LIMIT = 100  # of one step


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

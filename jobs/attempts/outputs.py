"""What a run's model made of held-out examples: from a rank's line to its table."""

from __future__ import annotations

from engine.telemetry.wire import SpoolLine
from jobs.models import Attempt, Run, RunOutput

TEXT_LIMIT = 2000  # characters of a prompt, a reference or an output
EXAMPLES_LIMIT = 100  # of one step


def read(line: SpoolLine) -> list[RunOutput]:
    """The row that a line says; none if it does not say of which step and example."""
    if line.step is None or line.number is None or not 0 <= line.number < EXAMPLES_LIMIT:
        return []
    told = {name: line.texts.get(name, "")[:TEXT_LIMIT] for name in ("prompt", "reference", "output")}
    return [RunOutput(step=line.step, number=line.number, **told)]


def keep(attempt: Attempt, outputs: list[RunOutput]) -> None:
    """What a later attempt says of a step supersedes what an earlier one had said."""
    run_id = Run.objects.values_list("id", flat=True).get(job_id=attempt.job_id)
    newest = {(one.step, one.number): one for one in outputs}
    for one in newest.values():
        one.run_id = run_id
    RunOutput.objects.bulk_create(
        newest.values(),
        update_conflicts=True,
        unique_fields=["run", "number", "step"],
        update_fields=["prompt", "reference", "output"],
    )

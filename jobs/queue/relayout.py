"""Another layout for a job that does not run: other ranks, another grid or ZeRO stage, the same training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from engine.spec.spec import Problem, Spec, SpecError, flatten, merged, parse
from jobs.models import Event, Job, Run, RunParam
from jobs.planning import plans
from jobs.pools import pool_settings
from jobs.queue import job_actions
from jobs.states.jobs import JobState, StateError
from jobs.tracking import params

OPEN = (JobState.PAUSED, JobState.FAILED, JobState.CANCELLED)
# What may change: how the work is shared out, never what is learnt from what.
FIELDS = (
    "parallel.data", "parallel.tensor", "parallel.stages", "parallel.zero_stage",
    "parallel.activation_checkpointing", "parallel.offload_optimiser", "parallel.offload_parameters",
    "batch.micro_batch_size",
)  # fmt: skip


def change(job: Job, values: Mapping[str, Any], actor: str) -> Job:
    """Give the job another layout; its checkpoints are read by any. `values` is nested like a spec and names only what
    changes. Raises SpecError (with every reason against it) and StateError (it runs, or has succeeded)."""
    if job.state not in OPEN:
        raise StateError(
            f"Job {job.id} is {job.state}; only a paused, failed or cancelled job can get another layout."
        )
    if unknown := sorted(set(flatten(values)) - set(FIELDS)):
        said = f"A job that has begun keeps its {unknown[0]}; of its layout {', '.join(FIELDS)} may change."
        raise SpecError([Problem(unknown[0], said)])
    spec = parse(merged(job.spec, values))
    changed = _changed(job.spec, spec)
    if not changed:
        return job
    pool = job_actions.check(spec, job.team, is_begun=True)
    _store(job, pool_settings.complete(spec, pool), plans.plan_of(spec, pool), ", ".join(changed), actor)
    return Job.objects.get(id=job.id)


def _changed(before: Mapping[str, Any], spec: Spec) -> list[str]:
    was, now = flatten(before), flatten(spec.model_dump())
    return [
        f"{path} {was.get(path)} -> {now[path]}" for path in FIELDS if was.get(path, now[path]) != now[path]
    ]


@transaction.atomic
def _store(job: Job, spec: Spec, plan: dict[str, Any], said: str, actor: str) -> None:
    values = spec.model_dump()
    rows = Job.objects.filter(id=job.id, state__in=OPEN, attempt_number=job.attempt_number)
    if not rows.update(spec=values, plan=plan, num_devices=spec.parallel.world_size):
        raise StateError(f"Job {job.id} has just been started again; it keeps its layout.")
    Run.objects.filter(job=job).update(spec=values, plan=plan)
    texts = params.from_spec(values)
    for path in FIELDS:
        row = RunParam.objects.filter(run__job=job, key=path)
        row.update(value=texts.get(path, ""), number=params.as_number(texts.get(path, "")))
    Event.objects.create(job=job, actor=actor, kind="job.layout", text=f"Another layout: {said}.")

"""Layout changes of a job that is not running.

The job gets other ranks, another grid or another ZeRO stage; the training itself stays the same.
"""

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

CHANGEABLE_STATES = (JobState.PAUSED, JobState.FAILED, JobState.CANCELLED)
# Only the distribution of the work may change, not what the model learns from which data.
LAYOUT_FIELDS = (
    "parallel.data", "parallel.tensor", "parallel.stages", "parallel.zero_stage",
    "parallel.activation_checkpointing", "parallel.offload_optimiser", "parallel.offload_parameters",
    "batch.micro_batch_size",
)  # fmt: skip


def change_layout(job: Job, values: Mapping[str, Any], actor: str) -> Job:
    """Change the layout of a job; checkpoints can be read with any layout.

    `values` is nested like a spec and names only the fields that change. Raises SpecError with every problem,
    and StateError if the job runs or has succeeded.
    """
    if job.state not in CHANGEABLE_STATES:
        raise StateError(
            f"Job {job.id} is {job.state}; only a paused, failed or cancelled job can change its layout."
        )
    if unknown := sorted(set(flatten(values)) - set(LAYOUT_FIELDS)):
        message = f"A started job cannot change {unknown[0]}; it can change {', '.join(LAYOUT_FIELDS)}."
        raise SpecError([Problem(unknown[0], message)])
    spec = parse(merged(job.spec, values))
    changed = _changed(job.spec, spec)
    if not changed:
        return job
    pool = job_actions.check(spec, job.team, has_started=True)
    _store(
        job,
        pool_settings.with_pool_defaults(spec, pool),
        plans.build_plan(spec, pool),
        ", ".join(changed),
        actor,
    )
    return Job.objects.get(id=job.id)


def _changed(before: Mapping[str, Any], spec: Spec) -> list[str]:
    was, now = flatten(before), flatten(spec.model_dump())
    return [
        f"{path} {was.get(path)} -> {now[path]}"
        for path in LAYOUT_FIELDS
        if was.get(path, now[path]) != now[path]
    ]


@transaction.atomic
def _store(job: Job, spec: Spec, plan: dict[str, Any], changes: str, actor: str) -> None:
    values = spec.model_dump()
    rows = Job.objects.filter(id=job.id, state__in=CHANGEABLE_STATES, attempt_number=job.attempt_number)
    if not rows.update(spec=values, plan=plan, num_devices=spec.parallel.world_size):
        raise StateError(f"Job {job.id} has started again; its layout was not changed.")
    Run.objects.filter(job=job).update(spec=values, plan=plan)
    texts = params.from_spec(values)
    for path in LAYOUT_FIELDS:
        row = RunParam.objects.filter(run__job=job, key=path)
        row.update(value=texts.get(path, ""), number=params.as_number(texts.get(path, "")))
    Event.objects.create(job=job, actor=actor, kind="job.layout", text=f"Layout changed: {changes}.")

"""Origins of specs on the submit page, and differences from them.

An origin is a preset, a template or a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, QueryDict
from django.urls import reverse

from dashboard.access import Scope
from dashboard.pages.submit import spec_fields
from engine.spec import presets
from engine.spec.spec import SpecError, flatten, parse, with_changes
from jobs.models import Job, Run, Template

DEFAULT_PRESET = "demo"


@dataclass(frozen=True)
class SpecOrigin:
    kind: str  # preset, template or run
    id: str
    title: str
    values: Mapping[str, Any]
    address: str  # of the submit page with this origin
    run: Run | None = None
    template: Template | None = None

    @property
    def key(self) -> str:
        """Value of the form field `origin`."""
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True)
class SpecDifference:
    path: str
    title: str
    before: str
    now: str


def origin_from_query(scope: Scope, query: QueryDict) -> SpecOrigin:
    """Return the origin named by the query. Raises Http404 if it does not exist or the user has no access."""
    if run_id := query.get("from"):
        return get_origin(scope, f"run:{run_id}")
    if template_id := query.get("template"):
        return get_origin(scope, f"template:{template_id}")
    return get_origin(scope, f"preset:{query.get('preset', DEFAULT_PRESET)}")


def apply_changes(origin: SpecOrigin, changes: Sequence[str]) -> dict[str, Any]:
    """Return the origin's values with changes such as 'parallel.zero_stage=2'. Raises Http404 for an unknown field."""
    try:
        values = with_changes(dict(origin.values), changes)
    except SpecError:
        raise Http404 from None
    if not flatten(values).keys() <= flatten(origin.values).keys() | spec_fields.FIELDS.keys():
        raise Http404
    return values


def get_origin(scope: Scope, key: str) -> SpecOrigin:
    """Return the origin with this key. Raises Http404 if it does not exist or the user has no access."""
    kind, _, name = key.partition(":")
    submit = reverse("submit")
    if kind == "run":
        run = scope.get(Run, name)
        try:
            parse(run.spec)
        except SpecError:
            raise Http404 from None  # a logged run has no spec of ours
        return SpecOrigin(kind, run.id, run.name, run.spec, f"{submit}?from={run.id}", run=run)
    if kind == "template":
        found = scope.get(Template, name)
        return SpecOrigin(
            kind, found.id, found.name, found.spec, f"{submit}?template={found.id}", template=found
        )
    if kind != "preset" or name not in presets.PRESETS:
        raise Http404
    return SpecOrigin(kind, name, name, presets.preset(name).model_dump(), f"{submit}?preset={name}")


def get_job_origin(scope: Scope, job: Job) -> SpecOrigin | None:
    """Return the origin of a job; None if it has none or the user has no access."""
    if not (job.cloned_from_id or job.template_id):
        return None
    try:
        return get_origin(
            scope, f"run:{job.cloned_from_id}" if job.cloned_from_id else f"template:{job.template_id}"
        )
    except Http404:
        return None


def find_differences(before: Mapping[str, Any], now: Any) -> list[SpecDifference]:
    """Return the fields that differ, in the order of the form; none if the values cannot be read."""
    if not isinstance(now, Mapping):
        return []
    was, flat = flatten(before), flatten(now)
    return [
        SpecDifference(path, field.title, field.text_of(old), field.text_of(new))
        for path, field in spec_fields.FIELDS.items()
        if (old := was.get(path, field.default)) != (new := flat.get(path, field.default))
    ]

"""Where the spec on the submit page comes from (a preset, a template, another run), and how it differs from there."""

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
class Origin:
    kind: str  # preset, template or run
    id: str
    title: str
    values: Mapping[str, Any]
    address: str  # of the submit page that begins there
    run: Run | None = None
    template: Template | None = None

    @property
    def key(self) -> str:
        """How a form names it."""
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True)
class Difference:
    path: str
    title: str
    before: str
    now: str


def asked(scope: Scope, query: QueryDict) -> Origin:
    """By the address of the submit page. Raises Http404 for what is not there, or not for this person."""
    if run_id := query.get("from"):
        return of(scope, f"run:{run_id}")
    if template_id := query.get("template"):
        return of(scope, f"template:{template_id}")
    return of(scope, f"preset:{query.get('preset', DEFAULT_PRESET)}")


def changed(origin: Origin, changes: Sequence[str]) -> dict[str, Any]:
    """The values to begin with: the origin's, with changes such as 'parallel.zero_stage=2' of the address. Raises
    Http404 for what is no change of a field."""
    try:
        values = with_changes(dict(origin.values), changes)
    except SpecError:
        raise Http404 from None
    if not flatten(values).keys() <= flatten(origin.values).keys() | spec_fields.FIELDS.keys():
        raise Http404
    return values


def of(scope: Scope, key: str) -> Origin:
    """Raises Http404."""
    kind, _, name = key.partition(":")
    submit = reverse("submit")
    if kind == "run":
        run = scope.get(Run, name)
        try:
            parse(run.spec)
        except SpecError:
            raise Http404 from None  # a run that was logged from outside has no spec of ours
        return Origin(kind, run.id, run.name, run.spec, f"{submit}?from={run.id}", run=run)
    if kind == "template":
        found = scope.get(Template, name)
        return Origin(kind, found.id, found.name, found.spec, f"{submit}?template={found.id}", template=found)
    if kind != "preset" or name not in presets.PRESETS:
        raise Http404
    return Origin(kind, name, name, presets.preset(name).model_dump(), f"{submit}?preset={name}")


def of_job(scope: Scope, job: Job) -> Origin | None:
    """What a job was made from, if this person may see it."""
    if not (job.cloned_from_id or job.template_id):
        return None
    try:
        return of(scope, f"run:{job.cloned_from_id}" if job.cloned_from_id else f"template:{job.template_id}")
    except Http404:
        return None


def differences(before: Mapping[str, Any], now: Any) -> list[Difference]:
    """Field by field, in the order of the form; values that cannot be read differ from nothing."""
    if not isinstance(now, Mapping):
        return []
    was, flat = flatten(before), flatten(now)
    return [
        Difference(path, field.title, field.text_of(old), field.text_of(new))
        for path, field in spec_fields.FIELDS.items()
        if (old := was.get(path, field.default)) != (new := flat.get(path, field.default))
    ]

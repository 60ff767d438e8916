"""Checks of a spec while it is edited: problems, capacity and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from django.db.models import Count, Min

from dashboard.pages.submit import spec_fields, yaml_text
from engine.request_limits import YAML_EDIT_CHARS
from engine.spec.spec import (
    Problem,
    Spec,
    SpecError,
    flatten,
    nested,
    parse,
    to_yaml,
    yaml_values,
)
from jobs.models import Device, Pool, Team
from jobs.pools import pool_settings
from jobs.queue import job_actions

YAML_KEPT = "It was left as you typed it; the fields are used."


@dataclass(frozen=True)
class Draft:
    """A posted spec: YAML text, values and problems."""

    yaml: str
    values: Any
    problems: tuple[Problem, ...] = ()
    spec: Spec | None = None
    note: str = ""  # why the YAML was not changed

    @property
    def is_ready(self) -> bool:
        return self.spec is not None and not self.problems


@dataclass(frozen=True)
class DeviceCapacity:
    """The smallest device of a pool, which a spec must fit into."""

    name: str
    memory_bytes: int | None


@dataclass(frozen=True)
class CostLimit:
    """Largest possible cost of a job in a pool with a price: its devices until its time limit."""

    money: float
    currency: str
    price_per_device_hour: float
    limit_s: int


def draft_from_values(values: Mapping[str, Any], team: Team) -> Draft:
    """Return the draft of saved or submitted values. They may violate rules that are newer."""
    try:
        text = to_yaml(parse(values))
    except SpecError:
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return check_draft(Draft(text, yaml_values(text)), team)


def draft_from_post(post: Mapping[str, str], team: Team) -> Draft:
    """Return the posted draft. `source` names the side that was edited last; the other side is updated from it."""
    text = post.get("yaml", "").replace("\r\n", "\n")
    if post.get("source") == "yaml":
        return _from_yaml(text, team)
    return _from_fields(spec_fields.values_from_post(post), text, team)


def check_draft(draft: Draft, team: Team) -> Draft:
    """Return the draft with all problems of its values, for the team that would submit it."""
    try:
        spec = parse(draft.values)
    except SpecError as error:
        return Draft(draft.yaml, draft.values, error.problems, None, draft.note)
    try:
        job_actions.check(spec, team)
    except SpecError as error:
        return Draft(draft.yaml, draft.values, error.problems, spec, draft.note)
    return Draft(draft.yaml, draft.values, (), spec, draft.note)


def get_capacity(pool: str) -> DeviceCapacity | None:
    """Return the smallest device of a pool; None if the pool has no device.

    If the memory of one of its devices is unknown, the capacity is unknown too.
    """
    rows = (
        Device.objects.filter(node__pool__name=pool, is_present=True)
        .order_by()
        .values("name")
        .annotate(memory=Min("memory_bytes"), count=Count("id"), known=Count("memory_bytes"))
    )
    found = [
        DeviceCapacity(row["name"], row["memory"] if row["known"] == row["count"] else None) for row in rows
    ]
    return min(found, key=lambda one: one.memory_bytes or 0, default=None)


def get_cost_limit(spec: Spec) -> CostLimit | None:
    """Return the largest possible cost; None if the pool is unknown or has no price."""
    pool = Pool.objects.filter(name=spec.pool).first()
    price = pool.price_per_device_hour if pool else None
    if pool is None or price is None:
        return None
    limit_s = pool_settings.with_pool_defaults(spec, pool).budget.limit_s
    return CostLimit(price * spec.parallel.world_size * limit_s / 3600, pool.currency, price, limit_s)


def list_problems(draft: Draft) -> list[dict[str, Any]]:
    """Return each problem with its field, its line in the YAML, and its fix."""
    lines = yaml_text.lines_of(draft.yaml, [problem.field for problem in draft.problems])
    return [
        {
            "field": problem.field,
            "message": problem.message,
            "fix": {path: spec_fields.FIELDS[path].text_of(value) for path, value in problem.fix.items()},
            "fix_label": _fix_label(problem),
            "line": lines[problem.field],
        }
        for problem in draft.problems
    ]


def _fix_label(problem: Problem) -> str:
    parts = []
    for path, value in problem.fix.items():
        field = spec_fields.FIELDS[path]
        parts.append(
            field.text_of(value) if path == problem.field else f"{field.title.lower()} {field.text_of(value)}"
        )
    return f"Use {' and '.join(parts)}" if parts else ""


def _from_yaml(text: str, team: Team) -> Draft:
    try:
        return check_draft(Draft(text, yaml_values(text)), team)
    except SpecError as error:
        return Draft(text, None, error.problems)


def _from_fields(fields: dict[str, Any], text: str, team: Team) -> Draft:
    """Write the fields that differ into the YAML. If that fails, the YAML stays as typed."""
    values = nested(fields)
    if not text.strip():
        return check_draft(Draft(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), values), team)
    try:
        known = yaml_values(text)
    except SpecError:
        return check_draft(Draft(text, values, note=f"This YAML cannot be read. {YAML_KEPT}"), team)
    known = flatten(known) if isinstance(known, Mapping) else {}
    differing = {
        path: value
        for path, value in fields.items()
        if not _is_same(spec_fields.FIELDS[path], known.get(path, spec_fields.FIELDS[path].default), value)
    }
    if broken := YAML_EDIT_CHARS.error(len(differing) * len(text)):  # each edit reads the text again
        return check_draft(Draft(text, values, note=f"{broken} {YAML_KEPT}"), team)
    for path, value in differing.items():
        changed = yaml_text.with_value(text, path, value)
        if changed is None:
            note = f"'{path}' could not be written into this YAML. {YAML_KEPT}"
            return check_draft(Draft(text, values, note=note), team)
        text = changed
    return _from_yaml(text, team)


def _is_same(field: spec_fields.SpecField, before: Any, value: Any) -> bool:
    """Whether a value is unchanged. 3e-4, which YAML reads as a text, equals 0.0003: the typed text stays."""
    return before == value or (field.kind == "number" and field.value_of(field.text_of(before)) == value)

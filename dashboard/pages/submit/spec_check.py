"""What the submit page says of a spec while it is typed: both notations in step, problems, and the estimate."""

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

LEFT_ALONE = "It was left as you typed it; the fields count."


@dataclass(frozen=True)
class Draft:
    """A spec as it was posted: the text of both notations, the values they stand for, and what is wrong."""

    yaml: str
    values: Any
    problems: tuple[Problem, ...] = ()
    spec: Spec | None = None
    note: str = ""  # why the YAML was left alone

    @property
    def is_ready(self) -> bool:
        return self.spec is not None and not self.problems


@dataclass(frozen=True)
class Capacity:
    """The smallest device of a pool, which is the one an estimate must fit into."""

    name: str
    memory_bytes: int | None


@dataclass(frozen=True)
class Cost:
    """What a job may cost at the most, where its pool has a price: its devices until its time limit."""

    money: float
    currency: str
    price_per_device_hour: float
    limit_s: int


def draft_of(values: Mapping[str, Any], team: Team) -> Draft:
    """Of what was saved or submitted before; it may break rules that are newer."""
    try:
        text = to_yaml(parse(values))
    except SpecError:
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    return checked(Draft(text, yaml_values(text)), team)


def draft_from(post: Mapping[str, str], team: Team) -> Draft:
    """The posted draft. `source` names the side that was edited last: it counts, the other follows."""
    text = post.get("yaml", "").replace("\r\n", "\n")
    if post.get("source") == "yaml":
        return _from_yaml(text, team)
    return _from_fields(spec_fields.values_of(post), text, team)


def checked(draft: Draft, team: Team) -> Draft:
    """The draft with every problem of its values, for a team that would submit it."""
    try:
        spec = parse(draft.values)
    except SpecError as error:
        return Draft(draft.yaml, draft.values, error.problems, None, draft.note)
    try:
        job_actions.check(spec, team)
    except SpecError as error:
        return Draft(draft.yaml, draft.values, error.problems, spec, draft.note)
    return Draft(draft.yaml, draft.values, (), spec, draft.note)


def capacity_of(pool: str) -> Capacity | None:
    """None while the pool has no device. A device whose memory is unknown makes the capacity unknown."""
    rows = (
        Device.objects.filter(node__pool__name=pool, is_present=True)
        .order_by()
        .values("name")
        .annotate(memory=Min("memory_bytes"), count=Count("id"), known=Count("memory_bytes"))
    )
    found = [Capacity(row["name"], row["memory"] if row["known"] == row["count"] else None) for row in rows]
    return min(found, key=lambda one: one.memory_bytes or 0, default=None)


def cost_of(spec: Spec) -> Cost | None:
    """None where the pool is unknown or has no price."""
    pool = Pool.objects.filter(name=spec.pool).first()
    price = pool.price_per_device_hour if pool else None
    if pool is None or price is None:
        return None
    limit_s = pool_settings.complete(spec, pool).budget.limit_s
    return Cost(price * spec.parallel.world_size * limit_s / 3600, pool.currency, price, limit_s)


def problems_shown(draft: Draft) -> list[dict[str, Any]]:
    """Each problem with the field it is shown at, its line in the YAML, and its way out."""
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
        return checked(Draft(text, yaml_values(text)), team)
    except SpecError as error:
        return Draft(text, None, error.problems)


def _from_fields(fields: dict[str, Any], text: str, team: Team) -> Draft:
    """The YAML with every field written into it that differs. Where that fails, it stays as it was typed."""
    values = nested(fields)
    if not text.strip():
        return checked(Draft(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), values), team)
    try:
        known = yaml_values(text)
    except SpecError:
        return checked(Draft(text, values, note=f"This YAML cannot be read. {LEFT_ALONE}"), team)
    known = flatten(known) if isinstance(known, Mapping) else {}
    differing = {
        path: value
        for path, value in fields.items()
        if not _is_same(spec_fields.FIELDS[path], known.get(path, spec_fields.FIELDS[path].default), value)
    }
    if broken := YAML_EDIT_CHARS.error(len(differing) * len(text)):  # each edit reads the text again
        return checked(Draft(text, values, note=f"{broken} {LEFT_ALONE}"), team)
    for path, value in differing.items():
        changed = yaml_text.with_value(text, path, value)
        if changed is None:
            note = f"'{path}' could not be written into this YAML. {LEFT_ALONE}"
            return checked(Draft(text, values, note=note), team)
        text = changed
    return _from_yaml(text, team)


def _is_same(field: spec_fields.SpecField, before: Any, value: Any) -> bool:
    """Also true for 3e-4, which YAML reads as a text, against 0.0003: what was typed stays."""
    return before == value or (field.kind == "number" and field.value_of(field.text_of(before)) == value)

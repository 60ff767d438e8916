"""Proposed fixes of problems, checked by the rules before they are offered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.spec import Problem, Spec, SpecError, merged, parse

ROUNDS = 4  # in which a fix takes over what its own problems propose


def apply_fix(spec: Spec, fix: Mapping[str, Any]) -> Spec:
    """Return the spec with the fields of a fix changed. Raises SpecError."""
    values = spec.model_dump()
    for path, value in fix.items():
        changed: Any = value
        for part in reversed(path.split(".")):
            changed = {part: changed}
        values = merged(values, changed)
    return parse(values)


def is_accepted(spec: Spec, fix: Mapping[str, Any], hardware: Hardware | None = None) -> bool:
    """Whether the spec with the fix breaks no rule that the spec alone does not break."""
    return not _new_problems(spec, fix, hardware)


def with_accepted_fixes(
    spec: Spec, problems: Iterable[Problem], hardware: Hardware | None = None
) -> list[Problem]:
    """Extend fixes that would be refused by what their refusal proposes; drop those that stay refused."""
    return [replace(one, fix=_accepted(spec, one, hardware)) if one.fix else one for one in problems]


def _accepted(spec: Spec, problem: Problem, hardware: Hardware | None) -> dict[str, Any]:
    fix = dict(problem.fix)
    for _ in range(ROUNDS):
        refused = _new_problems(spec, fix, hardware)
        if not refused:
            return fix
        more = {path: value for one in refused for path, value in one.fix.items() if path not in fix}
        if not more:
            return {}
        fix |= more
    return {}


def _new_problems(spec: Spec, fix: Mapping[str, Any], hardware: Hardware | None) -> list[Problem]:
    """Problems of the spec with the fix that it does not have without, and those at the fields of the fix."""
    try:
        changed = apply_fix(spec, fix)
    except SpecError as error:
        return list(error.problems)
    known = {(one.field, one.message) for one in _problems(spec, hardware)}
    return [
        one
        for one in _problems(changed, hardware)
        if one.field in fix or (one.field, one.message) not in known
    ]


def _problems(spec: Spec, hardware: Hardware | None) -> list[Problem]:
    try:
        refuse_impossible(spec, hardware)
    except SpecError as error:
        return list(error.problems)
    return []

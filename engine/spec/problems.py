"""Problems of a spec, each with its field, a message and a proposed fix."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from engine.request_limits import SPEC_PROBLEMS

LONGEST_SHOWN_BITS = 256
NAME_CHARS = 100  # of a field that no spec has; the rest is cut


@dataclass(frozen=True)
class Problem:
    """One reason why a spec cannot run. `fix` holds changes by dotted field that solve it."""

    field: str
    message: str
    fix: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class SpecError(ValueError):
    """A user's mistake in a spec, with every problem found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in self.problems)
        )


def describe_type(value: Any) -> str:
    names = {list: "a list", str: "text", int: "a number", float: "a number", bool: "true or false"}
    return names.get(type(value), type(value).__name__)


def problems_from(error: ValidationError, root: type[BaseModel]) -> list[Problem]:
    """The problems that pydantic found in a `root`, at most SPEC_PROBLEMS of them and a line that says so."""
    found = error.errors(include_url=False)
    problems = [problem_from_error(one, root) for one in found[:SPEC_PROBLEMS]]
    return [*problems, Problem("", broken)] if (broken := SPEC_PROBLEMS.error(len(found))) else problems


def _shown(value: Any) -> str:
    if (
        isinstance(value, int) and value.bit_length() > LONGEST_SHOWN_BITS
    ):  # Python prints at most 4,300 digits
        return f"A number of {round(value.bit_length() * math.log10(2)):,} digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def problem_from_error(error: Mapping[str, Any], root: type[BaseModel]) -> Problem:
    """The problem of one pydantic error in a model of class `root`, with value, limit and alternative."""
    location = tuple(str(part)[:NAME_CHARS] for part in error["loc"])
    path, value, context = ".".join(location), error["input"], error.get("ctx", {})
    kind = str(error["type"])
    if kind == "extra_forbidden":
        return Problem(path, _unknown_field(location, root))
    if isinstance(value, float) and not math.isfinite(value):
        return Problem(path, f"{value} is not a finite number.")
    limits = {"greater_than_equal": ("at least", "ge"), "greater_than": ("more than", "gt"),
              "less_than_equal": ("at most", "le"), "less_than": ("less than", "lt")}  # fmt: skip
    if kind in limits:
        word, key = limits[kind]
        return Problem(path, f"{_shown(value)} is out of range: it must be {word} {context[key]:,}.")
    if kind == "literal_error":
        return Problem(path, f"{_shown(value)} is not one of {context['expected']}.")
    if kind.startswith(("int_", "float_")):
        whole = "a whole number" if kind.startswith("int_") else "a number"
        return Problem(path, f"{_shown(value)} is not {whole}.")
    if kind.startswith("bool_"):
        return Problem(path, f"{_shown(value)} is neither true nor false.")
    if kind in ("model_type", "model_attributes_type"):
        return Problem(path, f"This is a group of fields, not {describe_type(value)}.")
    return Problem(path, f"{_shown(value)}: {error['msg']}.")


def _unknown_field(location: tuple[str, ...], root: type[BaseModel]) -> str:
    part = root
    for name in location[:-1]:
        part = part.model_fields[name].annotation  # type: ignore[assignment]
    near = difflib.get_close_matches(location[-1], part.model_fields, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known fields: {', '.join(part.model_fields)}."
    return f"'{location[-1]}' is not a field of a spec. {hint}"

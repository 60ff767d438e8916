"""Sweeps: definition, points, rungs, ranking for successive halving."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from engine.request_limits import RANGE_CHARS, SWEEP_FIELDS, SWEEP_RUNS, SWEEP_VALUES
from engine.spec.parts import Real, SpecPart
from engine.spec.problems import Problem, SpecError, problems_from
from engine.spec.spec import Spec, flatten, merged, nested, parse
from engine.telemetry.metrics import BY_NAME

NAME_LIMIT = 100  # as engine.spec.spec.Spec.name
DRAW_TRIES = 50  # attempts to draw a new point from a small set of values
SIGNIFICANT_DIGITS = 4  # of a drawn number: 0.0003162, not 0.00031622776601683794
RANGE_PATTERN = re.compile(r"([^\s,]+?)\s*\.\.\s*([^\s,:]+)\s*:?\s*(\w+)?\s*(?:x\s*(\d+))?", re.IGNORECASE)
FIXED_FIELDS = {"name": "the sweep names its runs"}  # field that cannot vary -> reason

Scale = Literal["linear", "log", "int"]


class SweepRange(SpecPart):
    """A range of numbers that includes both ends."""

    low: Real = Field(alias="from")
    high: Real = Field(alias="to")
    scale: Scale = "linear"
    points: int = Field(5, ge=2, le=SWEEP_VALUES)  # number of values in a grid


Vary = list[Any] | SweepRange


class SweepDefinition(SpecPart):
    """Definition of a sweep over a base spec."""

    strategy: Literal["grid", "random", "halving"] = "grid"
    vary: dict[str, Any]  # field of the spec -> list of values or SweepRange
    count: int = Field(8, ge=1, le=SWEEP_RUNS)  # number of runs to draw; unused for a grid
    seed: int = Field(1, ge=0, le=2**31 - 1)
    parallel: int = Field(4, ge=1, le=SWEEP_RUNS)  # number of runs that wait or run at the same time
    metric: str = "validation_loss"
    goal: Literal["min", "max"] = "min"
    eta: int = Field(2, ge=2, le=10)  # one of eta runs is promoted at a rung
    first_steps: int = Field(50, ge=1, le=100_000_000)  # steps to the first rung


def parse_sweep(values: Any, base: Spec) -> SweepDefinition:
    """Parse a sweep definition. Raises SpecError with every problem, on fields that start with 'sweep.'."""
    if not isinstance(values, Mapping):
        raise SpecError([Problem("sweep", "A sweep must be a mapping of fields such as strategy and vary.")])
    vary, problems = _read_vary(values.get("vary"))
    try:
        sweep = SweepDefinition.model_validate({**values, "vary": vary})
    except ValidationError as error:
        raise SpecError([*problems, *_problems_at("sweep", error, SweepDefinition)]) from None
    problems = problems or [*_problems(sweep, base)] or [*_size_problems(sweep)]
    if problems:
        raise SpecError(problems)
    return sweep


def parse_vary(text: str) -> Any:
    """Parse the text form of varied values: '2, 4, 8' or '1e-4..1e-2 log' or '1..8 int x4'."""
    text = text.strip()
    if ".." in text and len(text) > RANGE_CHARS:
        return text  # refused where it is read
    found = RANGE_PATTERN.fullmatch(text)
    if found is None:
        return [_parse_value(part) for part in text.split(",") if part.strip()]
    low, high, scale, points = found.groups()
    values: dict[str, Any] = {
        "from": _parse_value(low),
        "to": _parse_value(high),
        "scale": (scale or "linear").lower(),
    }
    return values | ({"points": int(points)} if points else {})


def format_vary(vary: Vary) -> str:
    """Return the text form of varied values, which parse_vary reads."""
    if isinstance(vary, SweepRange):
        return f"{vary.low:g}..{vary.high:g} {vary.scale}"
    return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in vary)


def list_points(sweep: SweepDefinition) -> list[dict[str, Any]]:
    """Return the changes of each run in order; the same definition gives the same points.

    Random search ends early if a small set of values has no new combination left.
    """
    if sweep.strategy == "grid":
        axes = [[(path, value) for value in _grid_values(path, vary)] for path, vary in sweep.vary.items()]
        return [dict(combination) for combination in itertools.product(*axes)]
    found: list[dict[str, Any]] = []
    generator = random.Random(sweep.seed)
    for _ in range(sweep.count):
        fresh = next((p for p in _draw_points(sweep, generator) if p not in found), None)
        if fresh is None:
            break
        found.append(fresh)
    return found


def count_points(sweep: SweepDefinition) -> int:
    """Return the number of points without building them."""
    if sweep.strategy != "grid":
        return sweep.count
    return math.prod(len(_grid_values(path, vary)) for path, vary in sweep.vary.items())


def list_rungs(sweep: SweepDefinition, steps: int) -> list[int]:
    """Return the steps at which runs are compared; the last rung is the end of a run.

    Successive halving: Jamieson and Talwalkar 2016 (arXiv:1502.07943), with the budget counted in steps.
    """
    found = []
    if sweep.strategy == "halving":
        at = sweep.first_steps
        while at < steps:
            found.append(at)
            at *= sweep.eta
    return [*found, steps]


def rank_runs(values: Mapping[int, float | None], goal: str) -> list[int]:
    """Return numbers of runs from best to worst, the earlier first of equals.

    Runs whose value is missing or not finite are left out.
    """
    sign = 1 if goal == "min" else -1
    known = {
        number: sign * value for number, value in values.items() if value is not None and math.isfinite(value)
    }
    return sorted(known, key=lambda number: (known[number], number))


def count_promoted(num_members: int, eta: int) -> int:
    """Return how many runs of a rung are promoted: one of eta, at least one."""
    return max(1, num_members // eta)


def _read_vary(given: Any) -> tuple[dict[str, Vary], list[Problem]]:
    """Parse varied values given as lists, as mappings (ranges), or as text."""
    found: dict[str, Vary] = {}
    problems: list[Problem] = []
    if not isinstance(given, Mapping):
        return found, [] if given is None else [Problem("sweep.vary", "Name fields, each with its values.")]
    if broken := SWEEP_FIELDS.error(len(given)):
        return found, [Problem("sweep.vary", broken)]
    # In the order of the spec, since a database may change the order of JSON keys.
    for path, value in sorted(given.items(), key=lambda pair: (ORDER.get(pair[0], len(ORDER)), str(pair[0]))):
        value = parse_vary(value) if isinstance(value, str) else value
        if isinstance(value, str):
            problems.append(Problem(f"sweep.vary.{path}", RANGE_CHARS.error(len(value))))
            continue
        try:
            found[str(path)] = (
                SweepRange.model_validate(value) if isinstance(value, Mapping) else _read_values(value)
            )
        except ValidationError as error:
            problems += _problems_at(f"sweep.vary.{path}", error, SweepRange)
        except TypeError:
            problems.append(
                Problem(f"sweep.vary.{path}", f"{value!r} is neither a list of values nor a range.")
            )
    return found, problems


def _read_values(values: Iterable[Any]) -> list[Any]:
    """Convert texts to numbers, since YAML reads 1e-4 as a text."""
    return [_parse_value(value) if isinstance(value, str) else value for value in values]


def _problems_at(prefix: str, error: ValidationError, root: type[SpecPart]) -> list[Problem]:
    found = problems_from(error, root)
    return [Problem(f"{prefix}.{p.field}" if p.field else prefix, p.message, p.fix) for p in found]


def _problems(sweep: SweepDefinition, base: Spec) -> Iterator[Problem]:
    fields = flatten(base.model_dump())
    if not sweep.vary:
        yield Problem("sweep.vary", "No field varies. Choose at least one field and give it values.")
    for path, vary in sweep.vary.items():
        yield from _field_problems(path, vary, fields)
    metric = BY_NAME.get(sweep.metric)
    if metric is None or metric.scope != "run":
        yield Problem(
            "sweep.metric", f"'{sweep.metric}' is not a metric of a run. Use loss or validation_loss."
        )
    if sweep.strategy == "halving":
        if "budget.steps" in sweep.vary:
            yield Problem(
                "sweep.vary.budget.steps", "budget.steps cannot vary: halving sets the steps of a run."
            )
        if sweep.first_steps >= base.budget.steps:
            steps, lower = base.budget.steps, max(1, base.budget.steps // sweep.eta**2)
            message = (
                f"{sweep.first_steps} steps to the first rung must be fewer than the {steps} of the spec."
            )
            yield Problem("sweep.first_steps", f"{message} Use {lower}, for example.")


def _size_problems(sweep: SweepDefinition) -> Iterator[Problem]:
    if broken := SWEEP_RUNS.error(count_points(sweep)):
        yield Problem("sweep.vary", broken)


def _field_problems(path: str, vary: Vary, fields: Mapping[str, Any]) -> Iterator[Problem]:
    at = f"sweep.vary.{path}"
    if path in FIXED_FIELDS:
        yield Problem(at, f"'{path}' cannot vary: {FIXED_FIELDS[path]}.")
    elif path not in fields:
        yield Problem(at, f"'{path}' is not a field of a spec, such as optimiser.learning_rate.")
    elif isinstance(vary, SweepRange):
        yield from _range_problems(path, vary, fields[path])
    elif not vary:
        yield Problem(at, "The field has no values. Give values such as 2, 4, 8 or 1e-4..1e-2 log.")
    elif broken := SWEEP_VALUES.error(len(vary)):
        yield Problem(at, broken)
    elif any(value in vary[:index] for index, value in enumerate(vary)):
        yield Problem(at, "A value occurs twice. Remove it, or it would be run twice.")


def _range_problems(path: str, vary: SweepRange, default: Any) -> Iterator[Problem]:
    at = f"sweep.vary.{path}"
    if isinstance(default, bool | str):
        yield Problem(at, "The field is not a number. Give a list of values instead of a range.")
    if vary.low >= vary.high:
        yield Problem(at, f"The range must increase: {vary.low:g} is not less than {vary.high:g}.")
    if vary.scale == "log" and vary.low <= 0:
        yield Problem(at, f"A logarithmic range must start above 0; it starts at {vary.low:g}.")


def _grid_values(path: str, vary: Vary) -> list[Any]:
    if not isinstance(vary, SweepRange):
        return vary
    shares = [index / (vary.points - 1) for index in range(vary.points)]
    return list(dict.fromkeys(_interpolate(path, vary, share) for share in shares))


def _draw_points(sweep: SweepDefinition, generator: random.Random) -> Iterator[dict[str, Any]]:
    for _ in range(DRAW_TRIES):
        yield {
            path: _interpolate(path, vary, generator.random())
            if isinstance(vary, SweepRange)
            else generator.choice(vary)
            for path, vary in sweep.vary.items()
        }


def _interpolate(path: str, vary: SweepRange, share: float) -> Any:
    """Return the number at this share of the range, as an integer if the field or the scale requires it."""
    if vary.scale == "log":
        value = math.exp(math.log(vary.low) + share * (math.log(vary.high) - math.log(vary.low)))
    else:
        value = vary.low + share * (vary.high - vary.low)
    if vary.scale == "int" or isinstance(DEFAULTS.get(path), int):
        return round(value)
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def build_spec(base: Spec, point: Mapping[str, Any], number: int) -> Spec:
    """Build the spec of the run of a point. Raises SpecError."""
    name = f"{base.name[: NAME_LIMIT - 6]} #{number}"
    return parse(merged(base.model_dump(), nested({**point, "name": name})))


def _parse_value(text: str) -> Any:
    """'4' -> 4, '1e-4' -> 0.0001, 'true' -> True, else the text."""
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


DEFAULTS = flatten(Spec().model_dump())
ORDER = {path: at for at, path in enumerate(DEFAULTS)}

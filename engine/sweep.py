"""What a sweep is: which fields of a spec vary and how, which values that makes, and who goes on at a rung."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError

from engine.request_limits import RANGE_CHARS, SWEEP_FIELDS, SWEEP_RUNS, SWEEP_VALUES
from engine.spec.parts import Part, Real
from engine.spec.problems import Problem, SpecError, problems_from
from engine.spec.spec import Spec, flatten, merged, nested, parse
from engine.telemetry.metrics import BY_NAME

NAME_LIMIT = 100  # as engine.spec.spec.Spec.name
TRIES = 50  # to draw something new from a small set of values
SIGNIFICANT = 4  # digits of a drawn number: 0.0003162, not 0.00031622776601683794
RANGE = re.compile(r"([^\s,]+?)\s*\.\.\s*([^\s,:]+)\s*:?\s*(\w+)?\s*(?:x\s*(\d+))?", re.IGNORECASE)
NEVER = {"name": "the sweep names its runs itself"}

Scale = Literal["linear", "log", "int"]


class Range(Part):
    """From one number to another, both included."""

    low: Real = Field(alias="from")
    high: Real = Field(alias="to")
    scale: Scale = "linear"
    points: int = Field(5, ge=2, le=SWEEP_VALUES)  # of a grid


Vary = list[Any] | Range


class Sweep(Part):
    """The definition, beside the spec that it varies."""

    strategy: Literal["grid", "random", "halving"] = "grid"
    vary: dict[str, Any]  # field of the spec -> a list of values, or a Range
    count: int = Field(8, ge=1, le=SWEEP_RUNS)  # runs to draw; a grid has as many as it has
    seed: int = Field(1, ge=0, le=2**31 - 1)
    parallel: int = Field(4, ge=1, le=SWEEP_RUNS)  # runs that wait or run at once
    metric: str = "validation_loss"
    goal: Literal["min", "max"] = "min"
    eta: int = Field(2, ge=2, le=10)  # one in eta goes on at a rung
    first_steps: int = Field(50, ge=1, le=100_000_000)  # to the first rung


def parse_sweep(values: Any, base: Spec) -> Sweep:
    """Raises SpecError with every problem, each at a field that begins with 'sweep.'."""
    if not isinstance(values, Mapping):
        raise SpecError([Problem("sweep", "A sweep is a mapping of fields: strategy, vary and so on.")])
    vary, problems = _read_vary(values.get("vary"))
    try:
        sweep = Sweep.model_validate({**values, "vary": vary})
    except ValidationError as error:
        raise SpecError([*problems, *_at("sweep", error, Sweep)]) from None
    problems = problems or [*_problems(sweep, base)] or [*_too_many(sweep)]
    if problems:
        raise SpecError(problems)
    return sweep


def vary_of(text: str) -> Any:
    """The plain value behind what a person types: '2, 4, 8' or '1e-4..1e-2 log' or '1..8 int x4'."""
    text = text.strip()
    if ".." in text and len(text) > RANGE_CHARS:
        return text  # refused where it is read
    found = RANGE.fullmatch(text)
    if found is None:
        return [_plain(part) for part in text.split(",") if part.strip()]
    low, high, scale, points = found.groups()
    values: dict[str, Any] = {"from": _plain(low), "to": _plain(high), "scale": (scale or "linear").lower()}
    return values | ({"points": int(points)} if points else {})


def said(vary: Vary) -> str:
    """As vary_of reads it."""
    if isinstance(vary, Range):
        return f"{vary.low:g}..{vary.high:g} {vary.scale}"
    return ", ".join(str(value).lower() if isinstance(value, bool) else str(value) for value in vary)


def points(sweep: Sweep) -> list[dict[str, Any]]:
    """What each run changes, in order; the same definition gives the same points. Drawing stops early where a small
    set of values has no new combination left."""
    if sweep.strategy == "grid":
        axes = [[(path, value) for value in _axis(path, vary)] for path, vary in sweep.vary.items()]
        return [dict(combination) for combination in itertools.product(*axes)]
    found: list[dict[str, Any]] = []
    dice = random.Random(sweep.seed)
    for _ in range(sweep.count):
        fresh = next((p for p in _draws(sweep, dice) if p not in found), None)
        if fresh is None:
            break
        found.append(fresh)
    return found


def num_points(sweep: Sweep) -> int:
    """Without making them."""
    if sweep.strategy != "grid":
        return sweep.count
    return math.prod(len(_axis(path, vary)) for path, vary in sweep.vary.items())


def rungs(sweep: Sweep, steps: int) -> list[int]:
    """After which steps the runs are compared; the last rung is the end. Successive halving: Jamieson and Talwalkar
    2016 (arXiv:1502.07943), with the budget counted in steps."""
    found = []
    if sweep.strategy == "halving":
        at = sweep.first_steps
        while at < steps:
            found.append(at)
            at *= sweep.eta
    return [*found, steps]


def ranked(values: Mapping[int, float | None], goal: str) -> list[int]:
    """Numbers of runs from best to worst, of equals the earlier first; without those whose value is absent or not a
    number."""
    sign = 1 if goal == "min" else -1
    known = {
        number: sign * value for number, value in values.items() if value is not None and math.isfinite(value)
    }
    return sorted(known, key=lambda number: (known[number], number))


def num_promoted(num_members: int, eta: int) -> int:
    """One in eta of all who began the rung, at least one."""
    return max(1, num_members // eta)


def _read_vary(given: Any) -> tuple[dict[str, Vary], list[Problem]]:
    """Lists as they are, mappings as ranges, and a text as a person types it."""
    found: dict[str, Vary] = {}
    problems: list[Problem] = []
    if not isinstance(given, Mapping):
        return found, [] if given is None else [Problem("sweep.vary", "Name fields, each with its values.")]
    if broken := SWEEP_FIELDS.error(len(given)):
        return found, [Problem("sweep.vary", broken)]
    # In the order of the spec: a database may keep the keys of JSON in another one.
    for path, value in sorted(given.items(), key=lambda pair: (ORDER.get(pair[0], len(ORDER)), str(pair[0]))):
        value = vary_of(value) if isinstance(value, str) else value
        if isinstance(value, str):
            problems.append(Problem(f"sweep.vary.{path}", RANGE_CHARS.error(len(value))))
            continue
        try:
            found[str(path)] = Range.model_validate(value) if isinstance(value, Mapping) else _read(value)
        except ValidationError as error:
            problems += _at(f"sweep.vary.{path}", error, Range)
        except TypeError:
            problems.append(
                Problem(f"sweep.vary.{path}", f"{value!r} is neither a list of values nor a range.")
            )
    return found, problems


def _read(values: Iterable[Any]) -> list[Any]:
    """YAML takes 1e-4 for a text."""
    return [_plain(value) if isinstance(value, str) else value for value in values]


def _at(prefix: str, error: ValidationError, root: type[Part]) -> list[Problem]:
    found = problems_from(error, root)
    return [Problem(f"{prefix}.{p.field}" if p.field else prefix, p.message, p.fix) for p in found]


def _problems(sweep: Sweep, base: Spec) -> Iterator[Problem]:
    fields = flatten(base.model_dump())
    if not sweep.vary:
        yield Problem("sweep.vary", "Nothing varies. Choose at least one field and give it values.")
    for path, vary in sweep.vary.items():
        yield from _field_problems(path, vary, fields)
    metric = BY_NAME.get(sweep.metric)
    if metric is None or metric.scope != "run":
        yield Problem(
            "sweep.metric", f"'{sweep.metric}' is no metric of a run. loss and validation_loss are."
        )
    if sweep.strategy == "halving":
        if "budget.steps" in sweep.vary:
            yield Problem("sweep.vary.budget.steps", "Halving itself decides how many steps a run gets.")
        if sweep.first_steps >= base.budget.steps:
            said = f"{sweep.first_steps} steps to the first rung are not less than the {base.budget.steps} of the spec."
            near = max(1, base.budget.steps // sweep.eta**2)
            yield Problem("sweep.first_steps", f"{said} {near} would leave room for rungs.")


def _too_many(sweep: Sweep) -> Iterator[Problem]:
    if broken := SWEEP_RUNS.error(num_points(sweep)):
        yield Problem("sweep.vary", broken)


def _field_problems(path: str, vary: Vary, fields: Mapping[str, Any]) -> Iterator[Problem]:
    at = f"sweep.vary.{path}"
    if path in NEVER:
        yield Problem(at, f"'{path}' cannot vary: {NEVER[path]}.")
    elif path not in fields:
        yield Problem(at, f"'{path}' is not a field of a spec, such as optimiser.learning_rate.")
    elif isinstance(vary, Range):
        yield from _one_range(path, vary, fields[path])
    elif not vary:
        yield Problem(at, "No value is given. Say 2, 4, 8 or 1e-4..1e-2 log.")
    elif broken := SWEEP_VALUES.error(len(vary)):
        yield Problem(at, broken)
    elif any(value in vary[:index] for index, value in enumerate(vary)):
        yield Problem(at, "A value stands here twice; each would be run twice.")


def _one_range(path: str, vary: Range, default: Any) -> Iterator[Problem]:
    at = f"sweep.vary.{path}"
    if isinstance(default, bool | str):
        yield Problem(at, "This field holds no number; give its values, one after the other.")
    if vary.low >= vary.high:
        yield Problem(at, f"A range goes up: {vary.low:g} is not less than {vary.high:g}.")
    if vary.scale == "log" and vary.low <= 0:
        yield Problem(at, f"A logarithmic range begins above 0, not at {vary.low:g}.")


def _axis(path: str, vary: Vary) -> list[Any]:
    if not isinstance(vary, Range):
        return vary
    shares = [index / (vary.points - 1) for index in range(vary.points)]
    return list(dict.fromkeys(_at_share(path, vary, share) for share in shares))


def _draws(sweep: Sweep, dice: random.Random) -> Iterator[dict[str, Any]]:
    for _ in range(TRIES):
        yield {
            path: _at_share(path, vary, dice.random()) if isinstance(vary, Range) else dice.choice(vary)
            for path, vary in sweep.vary.items()
        }


def _at_share(path: str, vary: Range, share: float) -> Any:
    """The number at this share of the way; whole where the field, or the scale, wants that."""
    if vary.scale == "log":
        value = math.exp(math.log(vary.low) + share * (math.log(vary.high) - math.log(vary.low)))
    else:
        value = vary.low + share * (vary.high - vary.low)
    if vary.scale == "int" or isinstance(DEFAULTS.get(path), int):
        return round(value)
    return float(f"{value:.{SIGNIFICANT}g}")


def spec_of(base: Spec, point: Mapping[str, Any], number: int) -> Spec:
    """What the run of a point trains. Raises SpecError."""
    name = f"{base.name[: NAME_LIMIT - 6]} #{number}"
    return parse(merged(base.model_dump(), nested({**point, "name": name})))


def _plain(text: str) -> Any:
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

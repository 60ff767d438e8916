"""Sweep definitions: points, validation, rungs."""

from __future__ import annotations

import math

import pytest

from engine.request_limits import SWEEP_FIELDS
from engine.spec.spec import Spec, SpecError, flatten
from engine.sweep import (
    count_points,
    count_promoted,
    list_points,
    list_rungs,
    parse_sweep,
    parse_vary,
    rank_runs,
)

LR = "optimiser.learning_rate"
MANY = list(flatten(Spec().model_dump()))[: SWEEP_FIELDS + 1]


def sweep(**values):
    return parse_sweep({"vary": {LR: [0.1, 0.2]}, **values}, Spec())


def refused(**values) -> dict[str, str]:
    with pytest.raises(SpecError) as error:
        sweep(**values)
    return {problem.field: problem.message for problem in error.value.problems}


def test_a_grid_has_every_combination_in_the_order_of_the_spec():
    for vary in ({LR: [0.1, 0.2], "model.layers": [2, 4]}, {"model.layers": [2, 4], LR: [0.1, 0.2]}):
        found = list_points(sweep(vary=vary))
        assert [(p["model.layers"], p[LR]) for p in found] == [(2, 0.1), (2, 0.2), (4, 0.1), (4, 0.2)]
    assert count_points(sweep(vary={LR: [0.1, 0.2], "model.layers": [2, 4]})) == 4


def test_a_range_in_a_grid_is_divided_evenly_on_its_scale():
    (axis,) = [sweep(vary={LR: {"from": 1e-4, "to": 1e-2, "scale": "log", "points": 3}})]
    assert [p[LR] for p in list_points(axis)] == [0.0001, 0.001, 0.01]
    whole = sweep(vary={"model.layers": {"from": 2, "to": 4, "points": 5}})
    assert [p["model.layers"] for p in list_points(whole)] == [2, 3, 4], "integers, each once"


def test_drawing_is_the_same_for_the_same_seed_and_within_the_range():
    vary = {
        LR: {"from": 1e-4, "to": 1e-1, "scale": "log"},
        "model.layers": {"from": 2, "to": 9, "scale": "int"},
    }
    first = list_points(sweep(strategy="random", vary=vary, count=50, seed=3))
    assert first == list_points(sweep(strategy="random", vary=vary, count=50, seed=3))
    assert first[:20] == list_points(sweep(strategy="random", vary=vary, count=20, seed=3)), (
        "with more runs the first ones are the same"
    )
    assert first != list_points(sweep(strategy="random", vary=vary, count=50, seed=4))
    assert all(1e-4 <= p[LR] <= 1e-1 and 2 <= p["model.layers"] <= 9 for p in first)
    assert sum(p[LR] < math.sqrt(1e-5) for p in first) in range(12, 39), (
        "half of a log range is below its middle"
    )


def test_no_point_is_drawn_twice_and_a_small_set_has_fewer_points():
    found = list_points(sweep(strategy="random", vary={"model.layers": [2, 4, 6]}, count=10))
    assert sorted(p["model.layers"] for p in found) == [2, 4, 6]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("2, 4, 8", [2, 4, 8]),
        ("adamw,sgd", ["adamw", "sgd"]),
        ("true, false", [True, False]),
        ("1e-4..1e-2 log", {"from": 1e-4, "to": 1e-2, "scale": "log"}),
        ("1..8 int x4", {"from": 1, "to": 8, "scale": "int", "points": 4}),
        ("0.1 .. 0.5", {"from": 0.1, "to": 0.5, "scale": "linear"}),
        ("", []),
    ],
)
def test_the_text_form_of_varied_values_is_parsed(text, values):
    assert parse_vary(text) == values


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"vary": {}}, "sweep.vary", "No field varies"),
        ({"vary": {"model.depth": [1]}}, "sweep.vary.model.depth", "not a field of a spec"),
        ({"vary": {"name": ["a"]}}, "sweep.vary.name", "the sweep names its runs"),
        ({"vary": 3}, "sweep.vary", "Name fields, each with its values"),
        ({"vary": {LR: 3}}, f"sweep.vary.{LR}", "3 is neither a list of values nor a range"),
        ({"vary": {path: [1, 2] for path in MANY}}, "sweep.vary", f"{len(MANY)} fields are too many"),
        ({"vary": {LR: []}}, f"sweep.vary.{LR}", "has no values"),
        ({"vary": {LR: [1, 1]}}, f"sweep.vary.{LR}", "twice"),
        ({"vary": {LR: "1e-2..1e-4 log"}}, f"sweep.vary.{LR}", "The range must increase"),
        ({"vary": {LR: "0..1 log"}}, f"sweep.vary.{LR}", "must start above 0"),
        ({"vary": {LR: "1..2 quadratic"}}, f"sweep.vary.{LR}.scale", "quadratic"),
        ({"vary": {LR: {"from": "x", "to": 1}}}, f"sweep.vary.{LR}.from", "'x' is not a number"),
        ({"vary": {"optimiser.name": "1..2"}}, "sweep.vary.optimiser.name", "is not a number"),
        ({"vary": {"seed": [*range(101)]}}, "sweep.vary.seed", "limit is 100"),
        ({"vary": {"seed": [*range(99)], "model.layers": [*range(1, 99)]}}, "sweep.vary", "9,702 runs"),
        ({"count": 0}, "sweep.count", "at least 1"),
        ({"strategy": "bayes"}, "sweep.strategy", "not one of"),
        ({"metric": "accuracy"}, "sweep.metric", "not a metric of a run"),
        ({"strategy": "halving", "first_steps": 200}, "sweep.first_steps", "Use 50, for example."),
        (
            {"strategy": "halving", "vary": {"budget.steps": [1, 2]}},
            "sweep.vary.budget.steps",
            "halving sets the steps",
        ),
        ({"paralel": 3}, "sweep.paralel", "Did you mean 'parallel'"),
    ],
)
def test_an_invalid_value_is_refused_at_its_field(values, field, message):
    assert message in refused(**values)[field]


def test_a_sweep_must_be_a_mapping():
    with pytest.raises(SpecError, match="A sweep must be a mapping of fields"):
        parse_sweep(["grid"], Spec())


def test_rungs_multiply_by_eta_up_to_the_last_step():
    halving = sweep(strategy="halving", eta=3, first_steps=10)
    assert list_rungs(halving, 200) == [10, 30, 90, 200]
    assert list_rungs(halving, 90) == [10, 30, 90]
    assert list_rungs(sweep(), 200) == [200]


def test_runs_without_a_finite_value_are_never_ranked():
    values = {1: 3.0, 2: math.nan, 3: 1.0, 4: None, 5: 1.0, 6: math.inf}
    assert rank_runs(values, "min") == [3, 5, 1]
    assert rank_runs(values, "max") == [1, 3, 5]
    assert [count_promoted(n, 3) for n in (1, 2, 3, 8, 9)] == [1, 1, 1, 2, 3]

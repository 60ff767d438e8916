"""Fields, goals and better directions for comparing runs."""

from __future__ import annotations

import math

import pytest

from jobs import series
from jobs.models import Run
from jobs.runs import Field
from jobs.runs.directions import best_value, better_direction
from jobs.runs.tradeoffs import available_fields, choose_goals, field_unit, rank_goals, varied_parameters
from jobs.series import Point
from jobs.tracking import external_runs, params


def metric(key: str, stat: str = "last") -> Field:
    return Field("metric", key, stat)


@pytest.mark.parametrize(
    ("key", "direction"),
    [
        ("loss", "low"), ("val/Loss", "low"), ("eval_perplexity", "low"), ("step_s", "low"),
        ("accuracy_share", "high"), ("tokens_per_s", "high"), ("eval/F1", "high"),
        ("glossary", ""), ("temperature", ""), ("scoreboard", ""),
    ],
)  # fmt: skip
def test_the_better_direction_follows_from_the_words_of_a_metric(key: str, direction: str):
    assert better_direction(metric(key)) == direction


def test_only_metrics_have_a_better_direction():
    assert better_direction(Field("param", "loss")) == better_direction(Field("attribute", "duration")) == ""


def test_the_best_value_is_the_lowest_or_highest_finite_number():
    values = [3.0, math.nan, 1.0, None, "auto", math.inf, 2]
    assert (best_value("low", values), best_value("high", values), best_value("", values)) == (1.0, 3.0, None)
    assert best_value("low", [1.0]) is best_value("low", [2.0, 2.0]) is None


def test_goals_are_preferred_metrics_then_others_then_parameters():
    fields = [
        Field("param", "lr"), metric("grad_norm"), metric("tokens_per_s"), metric("loss"), Field("tag", "a"),
    ]  # fmt: skip
    assert rank_goals(fields) == [
        metric("loss"),
        metric("tokens_per_s"),
        metric("grad_norm"),
        Field("param", "lr"),
    ]


def test_a_goal_that_is_not_chosen_is_filled_in_and_differs_from_the_other():
    fields = [metric("step_s"), metric("loss")]
    assert choose_goals(fields, None, None) == (metric("step_s"), metric("loss"))
    logged = [metric("validation_loss"), metric("eval/loss"), metric("samples_per_second")]
    usual = ["eval/loss", "samples_per_second"]  # few runs have the other
    assert choose_goals(logged, None, None, usual) == (metric("samples_per_second"), metric("eval/loss"))
    assert choose_goals(fields, None, metric("step_s")) == (metric("loss"), metric("step_s"))
    assert choose_goals([], None, None) == (None, None)


def test_units_come_from_the_tables_of_metrics_and_attributes():
    fields = (metric("step_s"), metric("own"), Field("attribute", "duration"), Field("attribute", "share"))
    assert [field_unit(field) for field in fields] == ["s", "", "s", "share"]
    assert field_unit(Field("param", "lr")) == ""


@pytest.mark.django_db
def test_fields_are_those_of_the_runs_and_varied_parameters_leave_out_the_name(owner, team):
    for name, rate in (("a", "0.1"), ("b", "0.2")):
        run = external_runs.create(team=team, owner=owner, name=name, origin="test")
        params.store(run, {"name": name, "lr": rate, "seed": "1"})
        series.append(run.id, 1, "s", 0, [Point("loss", "run", 1, 1.0, 2.0)])
    fields = available_fields(Run.objects.all())
    assert metric("loss") in fields and Field("param", "seed") in fields
    assert Field("attribute", "duration") in fields and Field("attribute", "note") not in fields
    assert varied_parameters(Run.objects.all()) == [Field("param", "lr")]

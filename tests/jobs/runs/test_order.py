"""Runs in the order of any field; what is absent comes last."""

from __future__ import annotations

import math

import pytest

from jobs import runs
from jobs.tracking import external_runs


def names(asker, text: str, first: int = 0, count: int = 10) -> list[str]:
    field, is_descending = runs.order_from_text(text, asker)
    ordered = runs.ordered(asker.runs, field, is_descending=is_descending)
    ids, total = runs.page_of(ordered, first, count, is_narrowed=True)
    assert (ids, total) == runs.page_of(ordered, first, count, is_narrowed=False)
    assert total == asker.runs.count()
    rows = asker.runs.in_bulk(ids)
    return [rows[run_id].name for run_id in ids]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ["low", "high", "odd", "bare"]),
        ("loss", ["low", "high", "odd", "bare"]),
        ("-last(loss)", ["high", "low", "odd", "bare"]),
        ("-min(loss)", ["high", "odd", "low", "bare"]),
        ("param:model.layers", ["low", "high", "odd", "bare"]),
        ("-model.layers", ["odd", "high", "low", "bare"]),
        ("tag:stage", ["low", "high", "odd", "bare"]),
        ("-tag:stage", ["high", "low", "odd", "bare"]),
        ("name", ["bare", "high", "low", "odd"]),
        ("-created", ["low", "high", "odd", "bare"]),
        ("created", ["bare", "odd", "high", "low"]),
        ("state", ["high", "odd", "bare", "low"]),
        ("pool", ["low", "high", "odd", "bare"]),
    ],
)
def test_runs_in_the_order_of(some, asker, text, wanted):
    assert names(asker, text) == wanted


@pytest.mark.parametrize("text", ["loss", "-loss"])
def test_infinite_values_come_behind_numbers_in_either_direction(
    some, asker, give_metrics, team, owner, text
):
    give_metrics(external_runs.create(team=team, owner=owner, name="endless", origin="test"), loss=math.inf)
    assert names(asker, text)[2] == "endless"


def test_pages_follow_each_other(some, asker):
    assert names(asker, "name", 0, 3) + names(asker, "name", 3, 3) == ["bare", "high", "low", "odd"]
    assert names(asker, "name", 30, 3) == []


@pytest.mark.parametrize("text", ["nothing", "-tag:", "last()", "max(" + "x" * 300 + ")"])
def test_an_order_that_is_none_is_refused(some, asker, text):
    with pytest.raises(runs.FieldError):
        runs.order_from_text(text, asker)


@pytest.mark.parametrize(
    "text", ["state", "last(loss)", 'min("train/loss a")', "param:model.layers", 'tag:"a \\"b\\" \\\\"']
)
def test_a_field_is_the_same_after_it_was_written_into_an_address(text):
    assert str(runs.field_from_text(text)) == text

"""The filter language: matching runs, and positions of errors."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from jobs import runs
from jobs.models import Project, Run
from jobs.runs.tokens import tokens
from jobs.tracking import external_runs, params, run_annotations
from tests.jobs.runs.conftest import NOW

ALL = {"low", "high", "odd", "bare"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ALL),
        ("loss < 2.1", {"low"}),
        ("loss<2.1", {"low"}),
        ("loss >= 4", {"high"}),
        ("min(loss) <= 1", {"low"}),
        ("max(loss) > 4", {"high"}),
        ("mean(loss) = 2", {"low"}),
        ("last(loss) = 4", {"high"}),
        ("max( metric:loss ) > 4", {"high"}),
        ("loss = nan", {"odd"}),
        ("loss != nan", {"low", "high"}),
        ("loss != 4", {"low", "odd"}),
        ("not loss = 4", {"low", "odd", "bare"}),
        ("loss in (2, 4)", {"low", "high"}),
        ("loss not in (2, 4)", {"odd", "bare"}),
        ('"train/loss" < 3', {"low"}),
        ("train/loss < 3", {"low"}),
        ("model.layers >= 12", {"high", "odd"}),
        ("model.layers = 12", {"high", "odd"}),
        ("model.layers = many", {"bare"}),
        ("model.layers in (8, many)", {"low", "bare"}),
        ("model.layers != 12", {"low", "bare"}),
        ("model.layers ~ 2", {"high", "odd"}),
        ('"data path" ~ low', {"low"}),
        ("param:'data path' !~ low", ALL - {"low"}),
        ("tag:baseline", {"low"}),
        ("not tag:baseline", ALL - {"low"}),
        ("tag:stage = first", {"high"}),
        ("tag:stage != first", {"low"}),
        ("tag:stage ~ fi", {"low", "high"}),
        ("tag:stage = none", {"odd", "bare"}),
        ("state:running", ALL - {"low"}),
        ("state in (succeeded, failed)", {"low"}),
        ("state != running", {"low"}),
        ("owner:me", ALL),
        ("owner:tom", set()),
        ("has:loss", ALL - {"bare"}),
        ("not has:loss", {"bare"}),
        ("is:live", ALL - {"low"}),
        ("name ~ OW", {"low"}),
        ("name:o", {"low", "odd"}),
        ("name = low", {"low"}),
        ("created > -3d", {"low", "high"}),
        ("created < 2026-11-19", {"odd", "bare"}),
        ("pool = none", ALL),
        ("not pool = x", ALL),
        ("pool != x", set()),
        ("note = none", ALL),
        ("ended = none", ALL - {"low"}),
        ("low", {"low"}),
        ("olga", ALL),
        ("loss < 2.1 and model.layers >= 8 and tag:baseline", {"low"}),
        ("loss < 3 or model.layers = many", {"low", "bare"}),
        ("model.layers = 12 and (loss < 3 or loss = nan)", {"odd"}),
        ("not (loss < 3 or has:loss)", {"bare"}),
        ("NOT tag:baseline AND dd OR loss<3", {"low", "odd"}),
        ("loss < 1k", {"low", "high"}),
        ("loss < inf", {"low", "high"}),
    ],
)
def test_a_filter_finds(some, find, text, names):
    assert find(text) == names


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        ("loss <", 5, 6, "value is missing"),
        ("loss < low", 7, 10, "'low' is not a number"),
        ("loss < nan", 7, 10, "NaN is neither above nor below"),
        ("los < 2", 0, 3, "The nearest is loss."),
        ("layers > 2", 0, 6, "The nearest is model.layers."),
        ("loss < 2 and", 12, 13, "condition is missing"),
        ("and loss < 2", 0, 3, "missing before this 'and'"),
        ("(loss < 2", 0, 1, "This '(' has no ')'"),
        ("loss < 2)", 8, 9, "This ')' has no '('"),
        ("loss in (1, 2", 8, 9, "no ')'"),
        ("loss in (1,)", 11, 12, "value is missing after this ','"),
        ('name = "x', 7, 9, "never closed"),
        ("loss ! 2", 5, 8, "'!' is alone"),
        ("stat:running", 0, 5, "The nearest is state:."),
        ("tag:", 0, 4, "value is missing"),
        ("is:odd", 3, 6, "is:archived, is:live"),
        ("loss ~ 2", 7, 8, "not a text"),
        ("state < b", 8, 9, "state is a text"),
        ("tag:stage > 2", 12, 13, "is a text"),
        ("created > soon", 10, 14, "is not a time"),
        ("duration > soon", 11, 15, "is not a duration"),
        ("min(loss)", 9, 10, "needs a comparison"),
        ("min(tag:x) < 2", 4, 9, "the name of a metric"),
        ("< 2", 0, 1, "name is missing"),
        ("owner:me < 2", 9, 10, "Write owner < ... instead"),
        ("(" * 60, 51, 52, "parentheses"),
        ("a " * 2001, 4000, 4002, "at most 4,000 characters"),
    ],
)
def test_what_cannot_be_understood_points_at_the_place(some, find, text, start, end, expected):
    with pytest.raises(runs.FilterError) as refused:
        find(text)
    assert (refused.value.start, refused.value.end) == (start, end)
    assert expected in str(refused.value)


def test_archived_runs_are_shown_to_those_who_ask(some, find):
    run_annotations.archive(Run.objects.filter(id=some["low"].id), actor="olga")
    assert find("") == ALL - {"low"}
    assert find("is:archived") == {"low"}
    assert find("is:archived or not is:archived") == ALL


def test_a_jobs_run_has_its_state_pool_and_spec_from_the_job(make_job, find):
    make_job("model.layers=3", name="of a job")
    assert find("state:queued and pool:default and model.layers = 3 and devices = 2") == {"of a job"}
    assert find("duration > 1h") == set()


def test_duration_of_runs_that_have_ended(some, find):
    Run.objects.filter(name="low").update(started_at=NOW - timedelta(hours=3), ended_at=NOW)
    assert "low" in find("duration > 2h")
    assert "low" not in find("duration > 4h")


def test_names_of_other_teams_are_unknown(some, find, stranger, other_team):
    secret = external_runs.create(team=other_team, owner=stranger, name="secret", origin="test")
    params.store(secret, {"secret_key": "1"})
    with pytest.raises(runs.FilterError, match="No run has"):
        find("secret_key = 1")
    assert find("secret") == set()


def test_projects_are_named(some, find, team):
    project = Project.objects.create(team=team, name="big model")
    Run.objects.filter(name="low").update(project=project)
    assert find('project:"Big model"') == {"low"}
    assert find('project in ("big model", none)') == ALL


@pytest.mark.parametrize("text", ["loss<2", "tag:'a b'=c", '  a"b c"  ', "x:y:z", "a!=b!~c"])
def test_tokens_say_where_they_stand(text):
    for token in tokens(text):
        assert token.text in text[token.start : token.end]


def test_anything_typed_is_understood_or_refused_with_a_place(some, find):
    dice = random.Random(7)
    bits = [
        "loss",
        "<",
        "2",
        "and",
        "or",
        "not",
        "(",
        ")",
        "in",
        ",",
        "tag:",
        "is:live",
        '"',
        "!",
        "~",
        "min",
        "=",
        "nan",
        "-7d",
        " ",
    ]
    for _ in range(400):
        text = "".join(dice.choice(bits) + dice.choice(["", " "]) for _ in range(dice.randrange(1, 9)))
        try:
            find(text)
        except runs.FilterError as refused:
            assert 0 <= refused.start <= len(text), text

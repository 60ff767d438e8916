"""Metrics of compared runs: figures, goals and differences from a baseline."""

from __future__ import annotations

import math
import random
from urllib.parse import parse_qs, urlsplit

import pytest

from jobs import series
from jobs.models import Run
from jobs.runs.metric_comparison import compare_metrics
from jobs.series import Point
from jobs.tracking import external_runs

METRICS = "/compare/metrics/"


@pytest.fixture
def make_run(owner, team):
    def make(values: dict[str, list[float]], first_step: int = 0) -> Run:
        run = external_runs.create(team=team, owner=owner, name="run", origin="test")
        longest = max(map(len, values.values()), default=0)
        for number, start in enumerate(range(0, longest, 700)):  # several batches, so that some are folded
            points = [
                Point(name, "run", first_step + step, 1000.0 + step, some[step])
                for step in range(start, min(start + 700, longest))
                for name, some in values.items()
                if step < len(some)
            ]
            series.append(run.id, 0, "t", number, points)
        return run

    return make


def table(browser, runs: list[Run], **query):
    answer = browser.get(METRICS, {"run": [run.id for run in runs], **query})
    assert answer.status_code == 200
    return answer.context["table"]


@pytest.mark.parametrize("seed", range(20))
def test_the_figures_are_those_of_all_points(make_run, seed):
    rng = random.Random(seed)
    name = rng.choice(("train/loss", "eval/accuracy", "grad_norm"))
    drawn = {}
    for _ in range(rng.randint(2, 4)):
        count = rng.choice((1, 3, 64, 5000 if seed % 5 == 0 else 200))
        values = [rng.choice((rng.gauss(0, 1), rng.gauss(0, 1), 0.5, math.nan)) for _ in range(count)]
        first_step = rng.choice((0, 10))
        drawn[make_run({name: values}, first_step).id] = (values, first_step)
    ids = list(drawn)
    (found,) = compare_metrics([name], ids, ids[0], {})
    pick = {"train/loss": min, "eval/accuracy": max}.get(name)
    shown = {one.run: one for one in found.figures}
    judged = {}
    for run, (values, first_step) in drawn.items():
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            assert run not in shown
            continue
        one = shown[run]
        assert (one.low.value, one.high.value) == (min(finite), max(finite))
        assert one.low.step == first_step + values.index(min(finite))
        assert one.high.step == first_step + values.index(max(finite))
        assert one.last == (values[-1] if math.isfinite(values[-1]) else None)
        assert one.best == (None if pick is None else one.low if pick is min else one.high)
        if (value := pick(finite) if pick else one.last) is not None:
            judged[run] = value
    if ids[0] not in judged:
        assert found.differences == {}
    for run, difference in found.differences.items():
        expected = judged[run] - judged[ids[0]]
        assert difference.value == expected
        assert difference.share == (expected / abs(judged[ids[0]]) if judged[ids[0]] else None)
        better = None if pick is None or not expected else (expected < 0) == (pick is min)
        assert difference.is_better is better


def test_a_baseline_and_goals_are_chosen_and_kept_in_the_address(owner_browser, make_run):
    runs = [make_run({"train/loss": [3.0, value], "odd": [1.0]}) for value in (2.0, 1.0)]
    found = table(owner_browser, runs)
    assert [(block.name, block.goal) for block in found.blocks] == [("train/loss", "low"), ("odd", "")]
    assert [row.tone for row in found.blocks[0].rows] == ["", "good"]
    assert (found.blocks[0].rows[1].difference, found.blocks[0].rows[1].share) == ("−1", "−50.0 %")
    query = {
        "run": [run.id for run in runs], "baseline": runs[1].id, "goal": ["high:train/loss", "any:odd"],
        "changed": "1", "high": "gone",
    }  # fmt: skip
    current = f"http://testserver/compare/?run={runs[0].id}&run={runs[1].id}&lo=1&hi=2&low=old"
    answer = owner_browser.get(METRICS, query, headers={"HX-Current-URL": current})
    block = answer.context["table"].blocks[0]
    assert (block.goal, block.rows[0].tone, block.rows[0].is_best) == ("high", "", False)
    kept = parse_qs(urlsplit(answer["HX-Replace-Url"]).query)
    assert kept == {
        "run": [run.id for run in runs], "lo": ["1"], "hi": ["2"], "baseline": [runs[1].id],
        "high": ["gone", "train/loss"],
    }  # fmt: skip
    page = owner_browser.get(answer["HX-Replace-Url"])
    assert "high=train%2Floss" in page.text


def test_many_metrics_are_counted_and_the_important_ones_come_first(owner_browser, make_run):
    names = [f"layer/{n:03d}_norm" for n in range(60)]
    run = make_run({name: [1.0] for name in [*names, "zz/val_loss", "zz/train_loss", "accuracy"]})
    found = table(owner_browser, [run])
    assert [block.name for block in found.blocks[:3]] == ["zz/train_loss", "zz/val_loss", "accuracy"]
    assert (found.num_shown, found.num_metrics) == (12, 63)
    assert "12 of 63" in owner_browser.get(METRICS, {"run": run.id}).text
    assert [block.name for block in table(owner_browser, [run], find="042").blocks] == ["layer/042_norm"]


def test_many_runs_are_ranked_by_one_metric(owner_browser, make_run):
    runs = [make_run({"loss": [float(9 - n)], "acc": [n / 10]}) for n in range(9)]
    found = table(owner_browser, runs)
    assert found.choices == ["loss", "acc"]
    (block,) = found.blocks
    assert [row.run for row in block.rows] == [runs[0].id, *(run.id for run in reversed(runs[1:]))]
    (block,) = table(owner_browser, runs, figure="acc").blocks
    assert block.name == "acc"


def test_runs_without_the_metric_are_counted(owner_browser, make_run):
    runs = [make_run({"loss": [1.0]}), make_run({"acc": [1.0], "nan": [math.nan]})]
    blocks = {block.name: block for block in table(owner_browser, runs).blocks}
    assert (blocks["loss"].num_missing, blocks["acc"].num_missing) == (1, 1)
    assert "nan" not in blocks
    assert "1 of 2 runs have it" in owner_browser.get(METRICS, {"run": [run.id for run in runs]}).text


def test_a_stranger_sees_no_metric(stranger_browser, make_run):
    assert table(stranger_browser, [make_run({"loss": [1.0]})]).blocks == []


def test_more_runs_take_the_same_queries(owner_browser, make_run, django_assert_max_num_queries):
    runs = [make_run({"loss": [1.0, 2.0], "acc": [1.0]}) for _ in range(6)]
    with django_assert_max_num_queries(14):
        table(owner_browser, runs[:2])
    with django_assert_max_num_queries(14):
        table(owner_browser, runs)

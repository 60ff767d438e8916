"""Health of runs: the curves that are chosen, the stored rows, when they are due, and how they are shown."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from jobs import health, runs, series
from jobs.health.curves import choose_losses
from jobs.models import Run, RunHealth
from jobs.series import SeriesName
from jobs.tracking import external_runs

pytestmark = pytest.mark.django_db


@pytest.fixture
def log(owner, team):
    """log({metric: values}): a run that a program has logged."""

    def make(metrics: dict[str, np.ndarray], name: str = "logged", steps=None) -> Run:
        run = external_runs.create(team=team, owner=owner, name=name, origin="test")
        points = [
            series.Point(metric, "run", int(steps[n]) if steps is not None else n, 1e9 + n, float(value))
            for metric, values in metrics.items()
            for n, value in enumerate(values)
        ]
        series.append(run.id, 1, "w", 0, points)
        return run

    return make


FALL = 3 * np.exp(-np.linspace(0, 3, 200)) + 1
RISE = np.concatenate([FALL[:100], np.linspace(FALL[99], 9, 100)])


def named(metric: str, source: str = "run", count: int = 100) -> SeriesName:
    return SeriesName(metric, source, count, 1, 0.0, 0.0)


@pytest.mark.parametrize(
    ("training", "validation"),
    [
        ("loss", "validation_loss"), ("train/loss", "eval/loss"), ("train_loss", "val_loss"),
        ("Loss/train", "Loss/test"),
        ("training_loss_step", "valid-loss"), ("epoch.train.loss", "epoch.dev.loss"), ("lm loss", "lm loss validation"),
    ],
)  # fmt: skip
def test_the_losses_are_found_by_the_words_of_their_names(training, validation):
    draw = random.Random(training)
    others = [
        "accuracy",
        "train/kl_loss",
        "val/accuracy",
        "learning_rate",
        "glossary",
        "lossless",
        "eval/aux_loss",
        "grad",
    ]
    names = [named(metric, count=500) for metric in (training, validation, *others)]
    names += [named(training, "rank1", 900)]
    for _ in range(20):
        draw.shuffle(names)
        found = choose_losses(names)
        assert [one and (one.metric, one.source) for one in found] == [(training, "run"), (validation, "run")]


def test_a_part_of_a_loss_counts_where_there_is_no_other():
    assert choose_losses([named("kl_loss"), named("accuracy")]) == (named("kl_loss"), None)
    assert choose_losses([named("accuracy")]) == (None, None)


def test_what_the_curves_show_is_stored_and_can_be_filtered(log, team):
    made = {"good": log({"train/loss": FALL}), "bad": log({"loss": RISE}), "none": log({"accuracy": FALL})}
    for name, run in made.items():
        Run.objects.filter(id=run.id).update(name=name)
        health.assess_run(run)
    rows = dict(RunHealth.objects.values_list("run__name", "name"))
    assert rows == {"good": "improving", "bad": "diverged", "none": "unknown"}
    assert "(train/loss)" in made["good"].health.body["sentence"]
    asker = runs.Asker(Run.objects.filter(team=team), "olga", timezone.now())
    for text, name in (
        ("health:diverged", "bad"),
        ("health = improving", "good"),
        ("health:unknown", "none"),
    ):
        assert [run.name for run in runs.filtered(asker.runs, text, asker)] == [name]


def test_points_without_steps_are_counted(log, owner, team):
    run = external_runs.create(team=team, owner=owner, name="x", origin="test")
    points = [series.Point("loss", "run", None, 1e9 + n, float(value)) for n, value in enumerate(RISE)]
    series.append(run.id, 1, "w", 0, points)
    assert health.assess_run(run).name == "diverged"


def test_a_run_is_due_until_it_is_judged_after_its_end(log):
    run = log({"loss": FALL})
    assert list(health.find_due()) == [run]
    health.assess_run(run)
    assert not health.find_due().exists()
    later = timezone.now() + timedelta(minutes=2)
    Run.objects.filter(id=run.id).update(last_seen_at=later)
    RunHealth.objects.update(at=timezone.now() - timedelta(minutes=1))
    assert list(health.find_due()) == [run]
    run.refresh_from_db()
    external_runs.set_state(run, "succeeded", actor="x")
    assert list(health.find_due()) == [run]
    health.assess_run(Run.objects.get(id=run.id))
    assert not health.find_due().exists()
    assert RunHealth.objects.get().is_final


def test_a_page_gets_the_newest_when_the_run_has_ended(log):
    run = log({"loss": FALL})
    assert health.get_current(run).name == "improving"
    series.append(run.id, 1, "w", 1, [series.Point("loss", "run", 200, 2e9, float("nan"))])
    assert health.get_current(run).name == "improving"  # judged a moment ago
    external_runs.set_state(run, "failed", actor="x")
    assert health.get_current(run).name == "nan"


def test_a_run_whose_clock_is_ahead_is_judged_once_after_its_end(log):
    run = log({"loss": FALL})
    external_runs.set_state(run, "succeeded", actor="x", ended_at=timezone.now() + timedelta(hours=1))
    health.assess_run(Run.objects.get(id=run.id))
    assert not health.find_due().exists()

"""Repeated steps: 600 generated histories against a direct bookkeeping of what is superseded."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from jobs.imports.attempts import MAX_ATTEMPTS, lay_out
from jobs.imports.foreign import ForeignWriter

SEED = 20261130
CASES = 600


class History:
    """Writes a history into writers, and keeps what a reader should see of it."""

    def __init__(self, draw):
        self.draw = draw
        self.writers = [ForeignWriter("0")]
        self.now = 1_700_000_000.0
        self.visible = {}  # metric -> {step: value}
        self.made = Counter()
        self.highest = 0

    def log(self, metric, step):
        self.now += 1
        value = self.draw.random()
        self.writers[-1].add(metric, step, self.now, value)
        self.made[metric] += 1
        return value

    def train(self, first, last):
        """A pass: loss at every step, eval at every fifth. Returns metric -> {step: value}."""
        found = {"loss": {}, "eval": {}}
        for step in range(first, last + 1):
            found["loss"][step] = self.log("loss", step)
            if step % 5 == 0:
                found["eval"][step] = self.log("eval", step)
        self.highest = max(self.highest, last)
        return found

    def supersede(self, metric, new, *, in_file):
        old = self.visible.setdefault(metric, {})
        repeated = [step for step in new if step in old]
        is_restart = bool(repeated) and not (in_file and len(new) == 1)
        first = min(new, default=0)
        kept = {s: v for s, v in old.items() if not (s >= first if is_restart else s in new)}
        self.visible[metric] = kept | new

    def restart(self, *, in_file):
        """The training comes back at an earlier step."""
        if not in_file:
            self.writers.append(ForeignWriter(str(len(self.writers))))
        first = self.draw.randrange(0, self.highest)
        last = first + self.draw.randrange(2, 30)
        for metric, new in self.train(first, last).items():
            self.supersede(metric, new, in_file=in_file)
        self.highest = max(self.visible["loss"])

    def go_on(self):
        first = self.highest + 1
        for metric, new in self.train(first, first + self.draw.randrange(1, 20)).items():
            self.visible.setdefault(metric, {}).update(new)

    def other_metric(self):
        """One that is never repeated, over all steps so far."""
        name = f"other {len(self.made)}"
        self.visible[name] = {step: self.log(name, step) for step in range(0, self.highest, 3)}

    def by_turns(self):
        """Several processes write one metric, each its own steps."""
        name, count = f"turns {len(self.made)}", self.draw.randrange(2, 5)
        self.visible[name] = {}
        for part in range(count):
            if self.draw.random() < 0.7:
                self.writers.append(ForeignWriter(str(len(self.writers))))
            for step in range(part, 40, count):
                self.visible[name][step] = self.log(name, step)

    def correct(self):
        """One value is written again, and the metric goes on."""
        name = f"corrected {len(self.made)}"
        shown = {step: self.log(name, step) for step in range(20)}
        shown[7] = self.log(name, 7)
        shown |= {step: self.log(name, step) for step in range(20, 25)}
        self.visible[name] = shown


def visible_in_charts(layout):
    """The rule of jobs.series.read_plan: hidden if a later attempt began at this step or below."""
    firsts = {
        attempt: min(int(columns.steps.min()) for columns in metrics.values())
        for attempt, metrics in layout.points.items()
    }
    found = {}
    for attempt, metrics in layout.points.items():
        cut = min((first for other, first in firsts.items() if other > attempt), default=2**63)
        for metric, columns in metrics.items():
            shown = [
                (s, v)
                for s, v in zip(columns.steps.tolist(), columns.values.tolist(), strict=True)
                if s < cut
            ]
            found.setdefault(metric, Counter()).update(shown)
    return {metric: shown for metric, shown in found.items() if shown}


@pytest.mark.parametrize("number", range(CASES))
def test_charts_show_what_was_not_made_again(number):
    draw = random.Random(f"{SEED} {number}")
    history = History(draw)
    history.go_on()
    for _ in range(draw.randrange(1, 6)):
        change = draw.choice(["restart", "restart", "in file", "other", "turns", "correct", "on"])
        if change in ("restart", "in file"):
            history.restart(in_file=change == "in file" and set(history.writers[-1].series) >= {"loss"})
        else:
            {
                "other": history.other_metric,
                "turns": history.by_turns,
                "correct": history.correct,
                "on": history.go_on,
            }[change]()
    layout = lay_out(history.writers)
    assert visible_in_charts(layout) == {
        metric: Counter(shown.items()) for metric, shown in history.visible.items() if shown
    }
    assert history.made == Counter(
        {
            metric: sum(len(metrics[metric].steps) for metrics in layout.points.values() if metric in metrics)
            for metric in history.made
        }
    )


def one_writer(steps):
    writer = ForeignWriter("a")
    for number, step in enumerate(steps):
        writer.add("loss", step, 1_700_000_000 + number, float(number))
    return writer


@pytest.mark.parametrize(
    ("steps", "shown", "borders"),
    [
        ([*range(16), *range(10, 30)], 30, [10]),
        ([0, 2, 4, 1, 3, 5], 6, []),
        ([0] * 50, 50, []),  # logged without steps
        ([0, 0, 1, 1, 2, 2], 6, []),
        ([3, 1, 2, 0], 4, []),
        ([*range(10), 4], 10, [4]),
        ([None] * 5, 5, []),
    ],
)
def test_a_single_writer_is_shown_by_the_steps_it_repeats(steps, shown, borders):
    layout = lay_out([one_writer(steps)])
    assert len(steps) - layout.num_superseded == shown
    assert [
        min(metrics["loss"].steps) for attempt, metrics in sorted(layout.points.items()) if attempt > 1
    ] == borders


def test_writers_that_run_at_the_same_time_do_not_supersede_each_other():
    assert lay_out([one_writer(range(20)), one_writer(range(20))]).num_superseded == 0


def test_a_step_that_alternates_for_ever_gives_few_attempts_and_little_work():
    layout = lay_out([one_writer([0, 1] * 50_000)])
    assert len(layout.points) <= MAX_ATTEMPTS
    assert layout.num_superseded == 100_000 - 2

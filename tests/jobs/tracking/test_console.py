"""Output of a script: random deliveries, repeated and out of chunks, against a list of lines."""

from __future__ import annotations

import random

import pytest

from jobs.tracking import console, external_runs
from jobs.tracking.external_runs import TrackingError

SEED, CASES = 23, 40


@pytest.fixture
def run(team, owner):
    return external_runs.create(team=team, owner=owner, name="mine", origin="fourwalls")


def test_random_deliveries_are_read_back_as_the_lines_they_leave(run):
    draw = random.Random(SEED)
    for case in range(CASES):
        source, lines = f"rank{case}", []
        for _ in range(draw.randint(1, 12)):
            first = max(0, len(lines) - draw.choice([0, 0, 0, 1, 3, 50]))
            new = [f"{draw.random():.6f}" * draw.choice([0, 1, 2]) for _ in range(draw.randint(1, 30))]
            lines[first:] = new
            for _ in range(draw.choice([1, 1, 2])):  # a delivery that was repeated
                console.store(run, source, first, new)
        for count in (1, 7, 10_000):
            tail = console.read_tail(run, source, count)
            assert tail.lines == lines[-count:], case
            assert tail.first == max(0, len(lines) - count)


def test_the_first_source_is_shown_and_others_are_named(run):
    console.store(run, "rank1", 0, ["one"])
    console.store(run, "run", 0, ["zero"])
    tail = console.read_tail(run, "", 10)
    assert (tail.source, tail.lines, tail.sources) == ("run", ["zero"], ["rank1", "run"])
    assert console.read_tail(run, "rank1", 10).lines == ["one"]
    assert console.read_tail(run, "rank7", 10).lines == []


@pytest.mark.parametrize(
    ("first", "lines"), [(0, ["a\0b"]), (0, ["x" * 5000]), (0, ["x"] * 1001), (10**7, ["x"])]
)
def test_what_no_row_holds_is_refused_with_the_limit(run, first, lines):
    with pytest.raises(TrackingError):
        console.store(run, "run", first, lines)
    assert not run.console_parts.exists()

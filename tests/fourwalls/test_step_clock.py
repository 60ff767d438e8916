"""Marks of a script: parts that add up, whatever the order of the marks."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

import pytest

from fourwalls import step_clock
from fourwalls.step_clock import BETWEEN_PARTS, STEP_METRICS, Mark, StepClock

SEED, CASES = 20261201, 300
NAMES = [*STEP_METRICS, *BETWEEN_PARTS, "augment", "tokenise", "optimizer"]


class Time:
    """Stands for the module `time`: moves when it is told to."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def perf_counter(self) -> float:
        return self.now_s

    def time(self) -> float:
        return 1e9 + self.now_s


class Recorded:
    """A clock with its records."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict, dict, int]] = []
        self.clocks: list[dict] = []
        self.clock = StepClock(lambda *row: self.rows.append(row), self.clocks.append)

    def step(self) -> Mark:
        return Mark(self.clock, "")

    def phase(self, name: str) -> Mark:
        return Mark(self.clock, name)

    def parts(self) -> dict[str, float]:
        self.clock.close()
        return self.clocks[-1]["seconds"]


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    fake = Time()
    monkeypatch.setattr(step_clock, "time", fake)
    return fake


@pytest.fixture
def recorded(time: Time) -> Recorded:
    return Recorded()


def test_a_loop_is_divided_into_its_parts(recorded, time):
    time.now_s += 3
    for _ in range(4):
        with recorded.phase("data"):
            time.now_s += 1
        with recorded.step():
            with recorded.phase("forward"):
                time.now_s += 2
            time.now_s += 0.5
        with recorded.phase("validation"):
            time.now_s += 5
        time.now_s += 0.25
    assert recorded.parts() == {
        "data": 1, "build": 3, "first_step": 2.5, "step": 3 * 3.5, "validation": 20, "between_steps": 0.75,
        "closing": 0.25,
    }  # fmt: skip
    of_run, phases, count = recorded.rows[-1]
    assert (of_run["step_s"], phases, count) == (3.5, {"data_wait_s": 1, "forward_s": 2}, 1)


def test_a_phase_inside_another_counts_once(recorded, time):
    with recorded.step(), recorded.phase("forward"):
        time.now_s += 1
        with recorded.phase("data"):
            time.now_s += 2
        with recorded.phase("augment"):
            time.now_s += 4
    with recorded.phase("validation"), recorded.phase("forward"):
        time.now_s += 8
    assert recorded.rows[0][:2] == (
        {"step_s": 7, "phase/augment_s": 4},
        {"forward_s": 1, "data_wait_s": 2, "other_s": 4},
    )
    assert recorded.parts() == {"first_step": 7, "validation": 8}
    assert recorded.clocks[-1]["named"] == {"augment": 4}


def test_a_step_that_raises_is_lost_and_the_end_of_the_data_is_no_step(recorded, time):
    with recorded.step():
        time.now_s += 1
    with pytest.raises(ValueError), recorded.step(), recorded.phase("forward"):
        time.now_s += 2
        raise ValueError
    with pytest.raises(StopIteration), recorded.step():
        time.now_s += 4
        next(iter(()))
    assert recorded.parts() == {"first_step": 1, "lost_steps": 2, "closing": 4}
    assert (recorded.clocks[-1]["steps"], recorded.clocks[-1]["failed_steps"]) == (1, 1)


def test_validation_inside_a_step_is_beside_it(recorded, time):
    with recorded.step():
        time.now_s += 1
        with recorded.phase("validation"):
            time.now_s += 10
            with recorded.step():
                time.now_s += 5
    assert recorded.parts() == {"first_step": 1, "validation": 15}
    assert recorded.rows[0][0]["step_s"] == 1


def test_phases_without_steps_are_work_and_the_rest_is_not_marked(recorded, time):
    time.now_s += 1
    with recorded.phase("forward"):
        time.now_s += 2
    assert recorded.parts() == {"unmarked": 1, "step": 2}


def test_marks_of_other_threads_do_not_count(recorded, time):
    with recorded.step():
        other = threading.Thread(target=lambda: recorded.phase("checkpoint").__enter__())
        other.start()
        other.join()
        time.now_s += 1
    assert recorded.parts() == {"first_step": 1}


def test_a_mark_that_is_given_up_ends(recorded, time):
    for _ in range(3):
        mark = recorded.step()
        mark.__enter__()
        time.now_s += 1
        del mark
    with recorded.step():
        time.now_s += 1
    assert recorded.clocks is not None and recorded.parts() == {"first_step": 1, "step": 3}


def test_short_steps_are_recorded_as_their_mean(recorded, time):
    for number in range(100):
        with recorded.step():
            time.now_s += 0.001 if number % 2 else 0.002
    recorded.clock.close()
    assert sum(count for _, _, count in recorded.rows) == 100 and len(recorded.rows) < 50
    total = sum(row["step_s"] * count for row, _, count in recorded.rows)
    assert total == pytest.approx(0.15)


def drawn_marks(rng: random.Random, recorded: Recorded, time: Time) -> Iterator[None]:
    """Random marks: nested, given up, ended out of order, ended twice, in threads, with exceptions."""
    held: list[Mark] = []
    for _ in range(rng.randint(1, 60)):
        time.now_s += rng.choice([0, 0.001, 0.3, 2.0])
        kind = rng.randint(0, 9)
        mark = recorded.step() if rng.random() < 0.3 else recorded.phase(rng.choice(NAMES))
        if kind < 4:
            held.append(mark.__enter__())
        elif kind < 7 and held:
            error = rng.choice([None, None, ValueError, StopIteration])
            held.pop(rng.randrange(len(held)) if rng.random() < 0.3 else -1).__exit__(error, None, None)
        elif kind == 7 and held:
            del held[rng.randrange(len(held))]
        elif kind == 8:
            thread = threading.Thread(target=mark.__enter__)
            thread.start()
            thread.join()
        else:
            with mark, mark:
                time.now_s += rng.random()
        yield


@pytest.mark.parametrize("case", range(CASES))
def test_drawn_marks_add_up_to_the_wall_clock(case, recorded, time):
    rng = random.Random(SEED + case)
    began_s = time.now_s
    for _ in drawn_marks(rng, recorded, time):
        assert sum(recorded.clock.get_parts(is_final=False).values()) <= time.now_s - began_s + 1e-6
    time.now_s += rng.random()
    parts = recorded.parts()
    assert sum(parts.values()) == pytest.approx(time.now_s - began_s, rel=1e-9)
    assert all(seconds > 0 for seconds in parts.values())
    steps = sum(row["step_s"] * count for row, _, count in recorded.rows)
    assert steps == pytest.approx(parts.get("first_step", 0.0) + parts.get("step", 0.0)) or not recorded.rows

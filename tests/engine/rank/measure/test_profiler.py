"""Timelines of steps, and profiles on request, of real ranks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.directory import TraceRequest
from engine.rank.measure.profiler import Tracer
from engine.telemetry.wire import Timeline
from tests.engine.rank.attempts import Attempt, tiny, until, write_attempt

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]


def timelines(attempt: Attempt, rank: int) -> dict[int, Timeline]:
    return {line.step: line.timeline for line in attempt.lines("timeline", f"rank{rank}", rank)}  # type: ignore[misc]


def test_an_early_step_of_a_pipeline_is_kept_with_its_micro_batches(start: Start) -> None:
    attempt = start(tiny(parallel={"stages": 2, "zero_stage": 1}, budget={"steps": 13})).succeeded()
    found = [timelines(attempt, rank) for rank in (0, 1)]
    assert [list(one) for one in found] == [[10], [10]]
    assert [one[10].stage for one in found] == [0, 1]
    for timeline in (one[10] for one in found):
        passes = {
            kind: [e.number for e in timeline.events if e.kind == kind] for kind in ("forward", "backward")
        }
        assert passes == {"forward": [0, 1, 2, 3], "backward": [0, 1, 2, 3]}
        assert {"optimiser", "collective"} <= {event.kind for event in timeline.events}
        assert [e.begin_us for e in timeline.events] == sorted(e.begin_us for e in timeline.events)
        assert max(e.begin_us + e.length_us for e in timeline.events) <= 1e6 * timeline.step_s + 1
        assert all(0 <= event.waited_us <= event.length_us + 1 for event in timeline.events)
        waited_s = sum(event.waited_us for event in timeline.events) / 1e6
        bubble_s = attempt.series("bubble_s", f"rank{timeline.stage}", timeline.stage)[10]
        assert waited_s == pytest.approx(bubble_s, abs=1e-4)
    kinds = [{event.kind for event in one[10].events} for one in found]
    assert {"send_activation", "receive_gradient"} <= kinds[0] and "send_gradient" in kinds[1]


def test_a_run_that_is_shorter_keeps_its_last_step(start: Start) -> None:
    attempt = start(tiny(budget={"steps": 3})).succeeded()
    [timeline] = timelines(attempt, 0).values()
    assert {"load", "forward", "backward", "optimiser"} <= {event.kind for event in timeline.events}


def test_the_next_steps_are_traced_on_request_by_the_ranks_that_were_chosen(start: Start) -> None:
    attempt = start(tiny(parallel={"data": 2, "zero_stage": 1}, budget={"steps": 100_000}))
    attempt.wait_for_step(2)
    for number in (1, 2):
        attempt.directory.ask_for_trace(TraceRequest(number, 2, (1,)))
        until(lambda: len(attempt.lines("trace", "rank1", 1)) == number, "a trace", 60)  # noqa: B023
    attempt.stop()
    assert attempt.exit_codes
    first, second = attempt.lines("trace", "rank1", 1)
    assert (first.number, second.number) == (1, 2) and first.step and second.step
    assert second.step >= first.step + 2
    assert attempt.lines("trace", "rank0", 0) == [], "only the rank that was asked for writes a profile"
    for line in (first, second):
        content = json.loads(gzip.decompress((attempt.directory.trace / line.text).read_bytes()))
        names = {event.get("name") for event in content["traceEvents"]}
        assert {"forward 0", "backward 1", "optimiser 0"} <= names, "our phases are named in it"
        assert any(str(name).startswith("aten::") for name in names)
    assert sorted(p.name for p in attempt.directory.trace.iterdir()) == sorted(
        ["request.json", first.text, second.text]
    )
    for rank in (0, 1):
        assert {first.step, first.step + 1, second.step, second.step + 1} <= set(timelines(attempt, rank))


def test_ranks_do_not_start_before_all_have_been_asked(tmp_path: Path) -> None:
    """As on two nodes whose agents write at different moments: here the ranks share a folder, so the sum is played."""
    directory = write_attempt(tmp_path / "attempt", tiny(), tmp_path)
    directory.ask_for_trace(TraceRequest(3, 2, ()))
    nobody: Any = SimpleNamespace(rank=0, beat=lambda *_: None)
    tracer = Tracer(directory, 2, nobody, nobody, nobody, 1)
    assert tracer.asked() == 3.0
    tracer.agree(3.0, 7)  # the other rank has none yet
    assert not tracer.is_drawn(8)
    tracer.agree(6.0, 8)
    assert [step for step in range(20) if tracer.is_drawn(step)] == [1, 9, 10]
    assert tracer.asked() == 0.0, "one request at a time"
    tracer.step_done(10)
    directory.ask_for_trace(TraceRequest(3, 2, ()))  # by an agent that was restarted
    assert tracer.asked() == 0.0, "a request is served once"

"""Timelines of steps, and traces on request, of real ranks."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.directory import TraceRequest
from engine.rank.measure.tracer import Tracer
from engine.telemetry.wire import Timeline
from tests.engine.rank.attempts import Attempt, tiny, until, write_attempt

pytestmark = pytest.mark.ranks

Start = Callable[..., Attempt]


def timelines(attempt: Attempt, rank: int) -> dict[int, Timeline]:
    return {line.step: line.timeline for line in attempt.lines("timeline", f"rank{rank}", rank)}  # type: ignore[misc]


def test_the_timeline_of_an_early_pipeline_step_has_its_micro_batches(start: Start) -> None:
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


def test_a_shorter_run_records_the_timeline_of_its_last_step(start: Start) -> None:
    attempt = start(tiny(budget={"steps": 3})).succeeded()
    [timeline] = timelines(attempt, 0).values()
    assert {"load", "forward", "backward", "optimiser"} <= {event.kind for event in timeline.events}


def test_the_requested_ranks_trace_the_next_steps(start: Start) -> None:
    attempt = start(tiny(parallel={"data": 2, "zero_stage": 1}, budget={"steps": 100_000}))
    attempt.wait_for_step(2)
    for number in (1, 2):
        attempt.directory.request_trace(TraceRequest(number, 2, (1,)))
        until(lambda: len(attempt.lines("trace", "rank1", 1)) == number, "a trace", 60)  # noqa: B023
    attempt.stop()
    assert attempt.exit_codes
    first, second = attempt.lines("trace", "rank1", 1)
    assert (first.number, second.number) == (1, 2) and first.step and second.step
    assert second.step >= first.step + 2
    assert attempt.lines("trace", "rank0", 0) == [], "only the requested rank writes a trace"
    for line in (first, second):
        content = json.loads(gzip.decompress((attempt.directory.trace / line.text).read_bytes()))
        names = {event.get("name") for event in content["traceEvents"]}
        assert {"forward 0", "backward 1", "optimiser 0"} <= names, "the trace has the names of the phases"
        assert any(str(name).startswith("aten::") for name in names)
    assert sorted(p.name for p in attempt.directory.trace.iterdir()) == sorted(
        ["request.json", first.text, second.text]
    )
    for rank in (0, 1):
        assert {first.step, first.step + 1, second.step, second.step + 1} <= set(timelines(attempt, rank))


def test_tracing_starts_once_all_ranks_have_the_request(tmp_path: Path) -> None:
    """Two agents write the request at different moments; the test passes the sum over both ranks."""
    directory = write_attempt(tmp_path / "attempt", tiny(), tmp_path)
    directory.request_trace(TraceRequest(3, 2, ()))
    stub: Any = SimpleNamespace(rank=0, beat=lambda *_: None)
    tracer = Tracer(directory, 2, stub, stub, stub, 1)
    assert tracer.poll_request() == 3.0
    tracer.agree(3.0, 7)  # the other rank has no request yet
    assert not tracer.has_timeline(8)
    tracer.agree(6.0, 8)
    assert [step for step in range(20) if tracer.has_timeline(step)] == [1, 9, 10]
    assert tracer.poll_request() == 0.0, "one request at a time"
    tracer.end_step(10)
    directory.request_trace(TraceRequest(3, 2, ()))  # written again by a restarted agent
    assert tracer.poll_request() == 0.0, "a request is served once"

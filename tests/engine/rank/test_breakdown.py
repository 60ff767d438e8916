"""The split of a step's time, with a clock that the test moves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.rank import breakdown
from engine.rank.breakdown import Breakdown
from engine.telemetry.metrics import STEP_PHASES


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(breakdown, "time", clock)
    return clock


@pytest.fixture
def backend(clock: Clock) -> Any:
    """Collectives that take 1 s each; asynchronous ones take it in wait()."""

    def collective(*_: Any, async_op: bool = False, **__: Any) -> Any:
        if async_op:
            return SimpleNamespace(wait=lambda: clock.pass_(1.0), is_completed=lambda: False)
        return clock.pass_(1.0)

    return SimpleNamespace(**dict.fromkeys(breakdown.PAYLOADS, collective))


def test_a_phase_is_counted_without_its_communication_and_all_adds_up(clock: Clock, backend: Any) -> None:
    times = Breakdown("cpu")
    times.watch_collectives(backend)
    times.begin()
    clock.pass_(0.5)
    with times.phase("backward_s"):
        clock.pass_(3.0)
        backend.all_reduce(torch.zeros(10))
    with times.phase("optimiser_s"):
        clock.pass_(0.25)
        work = backend.all_gather_into_tensor(torch.zeros(20), torch.zeros(10), async_op=True)
        clock.pass_(0.25)
        work.wait()
    backend.barrier()
    step_s, spent = times.end()
    assert step_s == 7.0
    assert {name: spent[name] for name in STEP_PHASES} == {
        "data_wait_s": 0, "forward_s": 0, "backward_s": 3.0, "communication_s": 3.0, "optimiser_s": 0.5, "other_s": 0.5,
    }  # fmt: skip
    assert sum(spent[name] for name in STEP_PHASES) == step_s
    assert spent["collective_bytes"] == 80
    assert spent["collective_bytes_per_s"] == pytest.approx(80 / 7)


def test_what_lies_between_steps_belongs_to_none(clock: Clock, backend: Any) -> None:
    times = Breakdown("cpu")
    times.watch_collectives(backend)
    with times.phase("forward_s"):  # validation
        clock.pass_(5.0)
        backend.all_reduce(torch.zeros(10))
    times.begin()
    clock.pass_(1.0)
    step_s, spent = times.end()
    assert (step_s, spent["forward_s"], spent["collective_bytes"]) == (1.0, 0, 0)


@pytest.mark.parametrize(
    ("name", "arguments", "keywords", "expected_bytes"),
    [
        ("all_reduce", (torch.zeros(3, dtype=torch.float64),), {}, 24),
        ("broadcast", (), {"tensor": torch.zeros(3), "src": 0}, 12),
        ("all_gather_into_tensor", (), {"output_tensor": torch.zeros(8), "input_tensor": torch.zeros(4)}, 16),
        ("reduce_scatter_tensor", (torch.zeros(4), torch.zeros(8, dtype=torch.bfloat16)), {}, 16),
        ("all_gather_coalesced", ([torch.zeros(8)], [torch.zeros(4), torch.zeros(1)]), {}, 20),
        ("send", (torch.zeros(5), 1), {}, 20),
        ("barrier", (), {}, 0),
    ],
)
def test_the_payload_is_what_the_rank_hands_in(
    name: str,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    expected_bytes: int,
    clock: Clock,
    backend: Any,
) -> None:
    times = Breakdown("cpu")
    times.watch_collectives(backend)
    times.begin()
    getattr(backend, name)(*arguments, **keywords)
    assert times.end()[1]["collective_bytes"] == expected_bytes


def test_every_watched_collective_exists_in_deepspeed() -> None:
    from deepspeed.comm.torch import TorchBackend

    assert [name for name in breakdown.PAYLOADS if not hasattr(TorchBackend, name)] == []

"""Breakdown of a step's time, with a fake clock."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from engine.rank.measure import breakdown, timers
from engine.rank.measure.breakdown import Breakdown
from engine.rank.measure.timers import HostTimers
from engine.rank.parallel import collectives
from engine.rank.parallel.collectives import Payload
from engine.rank.parallel.transfers import TransferTimes
from engine.telemetry.metrics import STEP_PHASES


class Clock:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    time = perf_counter

    def pass_(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (breakdown, timers):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def backend(clock: Clock) -> Any:
    """Collectives that take 1 s each; asynchronous ones take it in wait()."""

    def collective(*_: Any, async_op: bool = False, **__: Any) -> Any:
        if async_op:
            return SimpleNamespace(wait=lambda: clock.pass_(1.0), is_completed=lambda: False)
        return clock.pass_(1.0)

    return SimpleNamespace(**dict.fromkeys(collectives.COLLECTIVES, collective))


def instrumented(backend: Any, transfers: TransferTimes | None = None) -> Breakdown:
    times = Breakdown(HostTimers(), transfers)
    collectives.instrument(backend, times)
    times.begin()
    return times


def end_step(times: Breakdown) -> tuple[float, dict[str, float]]:
    step_s = times.end(1)
    [(_, spent)] = times.pop_completed()
    return step_s, spent


def test_phases_exclude_their_communication_and_add_up_to_the_step(clock: Clock, backend: Any) -> None:
    times = instrumented(backend)
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
    step_s, spent = end_step(times)
    assert step_s == 7.0
    assert {name: spent[name] for name in STEP_PHASES if name in spent} == {
        "data_wait_s": 0, "forward_s": 0, "backward_s": 3.0, "communication_s": 3.0, "optimiser_s": 0.5, "other_s": 0.5,
    }  # fmt: skip
    assert spent["collective_bytes"] == 80
    assert (spent["all_reduce_bytes"], spent["all_gather_bytes"]) == (40, 40)
    assert "send_receive_bytes" not in spent, "an unused collective is left out"
    assert spent["collective_bytes_per_s"] == pytest.approx(80 / 7)


def test_time_between_steps_counts_for_no_step(clock: Clock, backend: Any) -> None:
    times = instrumented(backend)
    with times.phase("forward_s"):  # validation
        clock.pass_(5.0)
        backend.all_reduce(torch.zeros(10))
    times.begin()
    clock.pass_(1.0)
    step_s, spent = end_step(times)
    assert (step_s, spent["forward_s"], spent["collective_bytes"]) == (1.0, 0, 0)


@pytest.mark.parametrize(
    ("name", "arguments", "keywords", "metric", "expected_bytes"),
    [
        ("all_reduce", (torch.zeros(3, dtype=torch.float64),), {}, "all_reduce_bytes", 24),
        ("broadcast", (), {"tensor": torch.zeros(3), "src": 0}, "broadcast_bytes", 12),
        (
            "all_gather_into_tensor", (), {"output_tensor": torch.zeros(8), "input_tensor": torch.zeros(4)},
            "all_gather_bytes", 16,
        ),
        (
            "reduce_scatter_tensor", (torch.zeros(4), torch.zeros(8, dtype=torch.bfloat16)), {},
            "reduce_scatter_bytes", 16,
        ),
        ("all_gather_coalesced", ([torch.zeros(8)], [torch.zeros(4), torch.zeros(1)]), {}, "all_gather_bytes", 20),
        ("all_to_all_single", (torch.zeros(4), torch.zeros(4)), {}, "all_to_all_bytes", 16),
        ("send", (torch.zeros(5), 1), {}, "send_receive_bytes", 20),
        ("barrier", (), {}, "collective_bytes", 0),
    ],
)  # fmt: skip
def test_the_payload_is_the_input_of_the_collective(
    name: str,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    metric: str,
    expected_bytes: int,
    backend: Any,
) -> None:
    times = instrumented(backend)
    getattr(backend, name)(*arguments, **keywords)
    spent = end_step(times)[1]
    assert spent["collective_bytes"] == spent[metric] == expected_bytes


def test_every_collective_of_the_table_exists_in_deepspeed() -> None:
    from deepspeed.comm.torch import TorchBackend

    assert [name for name in collectives.COLLECTIVES if not hasattr(TorchBackend, name)] == []


class KnownTimes(TransferTimes):
    """20 bytes take 0.25 s, a small collective takes 0.1 s."""

    def __init__(self) -> None:
        super().__init__(0)
        self._seconds_by_size, self._small_s = {20: 0.25}, 0.1


def test_waiting_for_another_stage_is_bubble_and_the_transfer_is_not(clock: Clock, backend: Any) -> None:
    times = instrumented(backend, KnownTimes())
    with times.phase("communication_s", "receive_activation"):
        backend.recv(torch.zeros(5), 1)
    with times.phase("backward_s"):
        clock.pass_(2.0)
        backend.all_reduce(torch.zeros(1))  # of a tensor-parallel layer: no wait for another stage
    step_s, spent = end_step(times)
    assert (spent["bubble_s"], spent["communication_s"], spent["backward_s"]) == (0.75, 0.25 + 1.0, 2.0)
    assert sum(spent[name] for name in STEP_PHASES if name in spent) == step_s


def test_after_its_last_backward_a_stage_waits_for_the_others(clock: Clock, backend: Any) -> None:
    times = instrumented(backend, KnownTimes())
    with times.phase("backward_s"):
        clock.pass_(2.0)
    with times.phase("backward_s", "reduce"):
        backend.all_reduce(torch.zeros(1))  # waits for other data ranks
    with times.phase("optimiser_s"):
        backend.all_reduce(torch.zeros(1))  # the norm: waits for the other stages
        backend.all_gather(None, torch.zeros(10_000))  # ZeRO: a transfer
    backend.all_reduce(torch.zeros(4))  # the loss
    step_s, spent = end_step(times)
    assert spent["bubble_s"] == pytest.approx(1.8)
    assert spent["communication_s"] == pytest.approx(2.2)
    assert sum(spent[name] for name in STEP_PHASES if name in spent) == pytest.approx(step_s)


def test_a_payload_that_was_never_measured_counts_as_communication(backend: Any) -> None:
    times = instrumented(backend, KnownTimes())
    backend.recv(torch.zeros(77), 1)
    spent = end_step(times)[1]
    assert (spent["bubble_s"], spent["communication_s"]) == (0.0, 1.0)


class Device:
    """A device with one stream; the host may be ahead of it."""

    def __init__(self) -> None:
        self.now = self.done_until = 0.0
        self.stream = SimpleNamespace(synchronize=self.catch_up)
        self.current: Any = self.stream
        self.made = self.synchronised = 0

    def work(self, seconds: float) -> None:
        self.now += seconds

    def catch_up(self) -> None:
        self.synchronised += 1
        self.done_until = self.now

    def event(self) -> Any:
        device, self.made = self, self.made + 1

        class Event:
            at = 0.0

            def record(self) -> None:
                self.at = device.now

            def query(self) -> bool:
                return self.at <= device.done_until

            def elapsed_time(self, stop: Any) -> float:
                assert self.query() and stop.query(), "CUDA raises for an incomplete event"
                return 1000 * (stop.at - self.at)

        return Event()


def test_on_a_gpu_a_step_is_read_once_it_is_complete_without_waiting(clock: Clock) -> None:
    device = Device()
    times = Breakdown(timers.StreamTimers(device.event, lambda: device.current))

    def step(number: int) -> None:
        times.begin()
        with times.phase("forward_s"):
            device.work(2.0)
        device.work(0.5)  # the host is late with the next kernel
        with times.phase("backward_s"):
            device.work(3.0)
            with times.communication(Payload("all_reduce", "all_reduce_bytes", 8)):
                device.work(1.0)
            device.current = "side stream"
            with times.communication(Payload("reduce", "all_reduce_bytes", 16)):
                device.work(0.0)
            device.current = device.stream
        clock.pass_(7.0)
        times.end(number, {"rss_bytes": float(number)})

    step(1)
    assert list(times.pop_completed()) == []
    done = device.now
    step(2)
    device.done_until = done
    [(first, spent)] = times.pop_completed()
    assert (first.number, spent["rss_bytes"]) == (1, 1.0)
    assert {name: spent[name] for name in STEP_PHASES if name in spent} == {
        "data_wait_s": 0, "forward_s": 2.0, "backward_s": 3.0, "communication_s": 1.0, "optimiser_s": 0,
        "host_gap_s": 0.5, "other_s": 0.5,
    }  # fmt: skip
    assert spent["all_reduce_bytes"] == 24, "overlapped collectives count their bytes and no time"
    assert device.synchronised == 0
    times.synchronize()
    assert [step.number for step, _ in times.pop_completed()] == [2]


def test_events_are_reused(clock: Clock) -> None:
    device = Device()
    times = Breakdown(timers.StreamTimers(device.event, lambda: device.current))
    for number in range(100):
        times.begin()
        with times.phase("forward_s"):
            clock.pass_(1.0)
        times.end(number)
        device.catch_up()
        assert len(list(times.pop_completed())) == 1
    assert device.made < 10

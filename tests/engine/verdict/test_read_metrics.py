"""Sampled metrics of devices: each has a rule that reads it, or a reason why none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from engine.planner import Link, generic_profile
from engine.verdict import unread_metrics
from engine.verdict.counter_rates import sum_increases
from engine.verdict.facts import DeviceFacts, Facts, from_json, to_json
from engine.verdict.judge import judge
from engine.verdict.rules import RULES
from fourwalls.host_sampler import HOST_METRICS
from fourwalls.system.device_metrics import DEVICE_METRICS
from tests.engine.verdict.cases import CASES, STATE_CASES, facts, on_gpu, read, sending

SEED = 20261201
DRAWS = 25
READ = frozenset().union(*(rule.metrics for rule in RULES))
Rng = np.random.Generator


def test_each_sampled_metric_has_a_rule_or_a_reason():
    assert set(DEVICE_METRICS) == READ | set(unread_metrics.DEVICE)
    assert set(HOST_METRICS) == set(unread_metrics.HOST)
    assert not READ & set(unread_metrics.DEVICE)
    assert all(
        len(reason) > 20 for reason in (*unread_metrics.DEVICE.values(), *unread_metrics.HOST.values())
    )


@pytest.mark.parametrize("metric", sorted(READ))
def test_a_metric_that_a_rule_declares_changes_a_verdict(metric: str):
    """A declaration alone is no rule: without the metric some verdict, state or evidence differs."""
    found = [*CASES.values(), *STATE_CASES.values()]
    assert any(judge(_without(one, metric)) != judge(one) for one in found)


def _without(found: Facts, metric: str) -> Facts:
    def cut(device: DeviceFacts) -> DeviceFacts:
        parts = (device.means, device.peaks, device.increases)
        means, peaks, increases = ({n: v for n, v in one.items() if n != metric} for one in parts)
        clock = None if metric == "sm_clock_hz" else device.clock_reference_hz
        return replace(device, means=means, peaks=peaks, increases=increases, clock_reference_hz=clock)

    return found.replace(devices=tuple(map(cut, found.devices)))


@dataclass(frozen=True)
class Drawn:
    """Readings of a kind: of a machine with the fault, and of its clean twin."""

    kind: str
    faulty: Mapping[str, float]
    clean: Mapping[str, float]
    peaks: bool = False  # whether they are maxima, else means
    counters: bool = False
    read_s: float = 0.0
    both: Mapping[str, float] = field(default_factory=dict)  # means that both have
    payload: float = 1e6  # bytes per second of a rank
    hosts: int = 1
    link: float | None = None  # measured, bytes per second


def _link(rng: Rng) -> Drawn:
    """Lanes and generations are lost by halves. An idle GPU lowers its link, as the clean twin may."""
    lost = float(2.0 ** -rng.integers(1, 5))
    if rng.random() < 0.5:
        return Drawn("cuda", {"pcie_link_share": lost}, {"pcie_link_share": 1.0}, True)
    idle = {"utilisation_pct": float(rng.uniform(0, 5))}
    return Drawn("cuda", {"pcie_link_share": lost}, {"pcie_link_share": lost, **idle}, True)


def _replays(rng: Rng) -> Drawn:
    read_s = float(np.exp(rng.uniform(np.log(60), np.log(2e5))))
    bad, good = (rate * read_s / 60 for rate in (rng.uniform(9, 500), rng.uniform(0, 7.5)))
    return Drawn("cuda", {"pcie_replays": bad}, {"pcie_replays": good}, counters=True, read_s=read_s)


def _errors(rng: Rng) -> Drawn:
    read_s = float(np.exp(rng.uniform(np.log(30), np.log(2e6))))
    hours = max(1.0, read_s / 3600)
    bad, good = rng.uniform(11, 1e4) * hours, rng.uniform(0, 9.5) * hours
    name = "memory_errors_corrected"
    return Drawn("cuda", {name: bad}, {name: good}, counters=True, read_s=read_s)


def _heat(rng: Rng) -> Drawn:
    kind = str(rng.choice(["cpu", "cuda"]))
    if kind == "cuda" and rng.random() < 0.5:
        name, hot = "memory_temperature_celsius", rng.uniform(95.5, 110)
    else:
        name, hot = "temperature_celsius", rng.uniform(96, 105)
    return Drawn(kind, {name: float(hot)}, {name: float(rng.uniform(30, 88))}, True)


def _limit(rng: Rng) -> Drawn:
    limit = float(np.exp(rng.uniform(np.log(2e9), np.log(1e12))))
    name = "memory_pss_bytes"
    bad, good = ({name: limit * share / 2} for share in (rng.uniform(0.93, 1.0), rng.uniform(0.1, 0.9)))
    both = {"memory_limit_bytes": limit}
    return Drawn("cpu", bad | both, good | both, True)


def _nvlink(rng: Rng) -> Drawn:
    payload = float(np.exp(rng.uniform(np.log(1e8), np.log(2e11))))
    pcie = {"pcie_tx_bytes_per_s": payload, "pcie_rx_bytes_per_s": payload}
    bad, good = payload * rng.uniform(0, 0.02), payload * rng.uniform(0.5, 2)
    names = ("nvlink_tx_bytes_per_s", "nvlink_rx_bytes_per_s")
    return Drawn("cuda", dict.fromkeys(names, bad), dict.fromkeys(names, good), both=pcie, payload=payload)


def _others(rng: Rng) -> Drawn:
    """Traffic of others beside that of this run, without a measured link."""
    payload = float(np.exp(rng.uniform(np.log(1e6), np.log(1e10))))
    own = payload * rng.uniform(1.0, 2.2)
    others = max(3e7, 2.5 * payload) * rng.uniform(2.5, 20)
    names = ("network_tx_bytes_per_s", "network_rx_bytes_per_s")
    return Drawn(
        "cpu", dict.fromkeys(names, own + others), dict.fromkeys(names, own), payload=payload, hosts=2
    )


def _full(rng: Rng) -> Drawn:
    """A link that the run itself fills."""
    link = float(np.exp(rng.uniform(np.log(1e8), np.log(5e10))))
    bad, good = link * rng.uniform(0.82, 1.0), link * rng.uniform(0.0, 0.75)
    names = ("network_tx_bytes_per_s", "network_rx_bytes_per_s")
    return Drawn(
        "cpu", dict.fromkeys(names, bad), dict.fromkeys(names, good), payload=link, hosts=2, link=link
    )


def _sync(rng: Rng) -> Drawn:
    name = "sync_throttle_share"
    return Drawn("cuda", {name: float(rng.uniform(0.025, 1.0))}, {name: float(rng.uniform(0, 0.015))})


KINDS: dict[str, tuple[str, Callable[[Rng], Drawn]]] = {
    "link": ("pcie_link", _link),
    "replays": ("pcie_errors", _replays),
    "memory errors": ("memory_errors", _errors),
    "temperature": ("heat_held", _heat),
    "control group": ("memory_full", _limit),
    "no NVLink": ("nvlink_unused", _nvlink),
    "other traffic": ("network_busy", _others),
    "full link": ("network_busy", _full),
    "sync boost": ("sync_held", _sync),
}


@pytest.mark.parametrize("name", KINDS)
def test_drawn_readings_have_their_state_and_their_clean_twins_none(name: str):
    """25 draws a kind, with noise on every device, of one and of several ranks."""
    rule, draw = KINDS[name]
    rng = np.random.default_rng([SEED, *map(ord, name)])
    for _ in range(DRAWS):
        drawn = draw(rng)
        found, twin = _observe(drawn, drawn.faulty, rng), _observe(drawn, drawn.clean, rng)
        states = judge(found).states
        assert [state.rule for state in states] == [rule], (drawn, [state.sentence for state in states])
        assert all(state.evidence and state.sentence.endswith(".") for state in states)
        assert [state.sentence for state in judge(twin).states] == [], drawn
        assert [state.rule for state in judge(from_json(to_json(found))).states] == [rule]


def _observe(drawn: Drawn, readings: Mapping[str, float], rng: Rng) -> Facts:
    """Two or four ranks; each device reads a little less or more, and one of them may not answer."""
    several = facts(
        *[{}] * int(rng.choice([2, 4] if not drawn.peaks or "memory_limit_bytes" not in readings else [2]))
    )
    base = sending(on_gpu(several) if drawn.kind == "cuda" else several, drawn.payload)
    if drawn.kind == "cuda" and "temperature_celsius" in "".join(readings):  # a GPU without throttle counters
        base = base.replace(devices=tuple(replace(one, means={}) for one in base.devices))
    is_mean = {name: not (drawn.peaks or drawn.counters) or name == "utilisation_pct" for name in readings}
    noisy = {name: value * float(rng.uniform(0.997, 1.003)) for name, value in readings.items()}
    if "pcie_link_share" in noisy:
        noisy["pcie_link_share"] = readings["pcie_link_share"]
    found = read(
        base,
        {name: value for name, value in noisy.items() if is_mean[name]} | dict(drawn.both),
        hosts=drawn.hosts,
        peaks={name: value for name, value in noisy.items() if not is_mean[name] and not drawn.counters},
        increases=noisy if drawn.counters else {},
        read_s=drawn.read_s,
    )
    if drawn.link is not None:
        link = Link(1e-5, drawn.link)
        profile = replace(generic_profile(drawn.kind), standing="measured", between_nodes=link)
        found = found.replace(profile=profile)
    return found


def test_a_state_needs_what_it_claims():
    """On one host nothing goes over the network; without all counters nobody knows which way a payload takes."""
    traffic = {"network_tx_bytes_per_s": 4e8, "network_rx_bytes_per_s": 1e8}
    assert not judge(read(sending(facts({}, {}), 2e6), traffic)).states
    silent = {"nvlink_tx_bytes_per_s": 0.0, "nvlink_rx_bytes_per_s": 0.0}
    exchanging = on_gpu(sending(facts({}, {}), 2e9))
    assert [state.rule for state in judge(read(exchanging, silent)).states] == ["nvlink_unused"]
    assert not judge(exchanging).states  # no NVLink
    first, second = read(exchanging, silent).devices
    partly = exchanging.replace(devices=(first, replace(second, means={})))
    assert not judge(partly).states
    alone = on_gpu(sending(facts({}), 2e9))
    assert not judge(read(alone, silent)).states


def test_resident_memory_counts_shared_pages_of_several_ranks_once():
    each = {"memory_used_bytes": 0.5e9, "memory_limit_bytes": 1e9}
    assert not judge(read(facts({}, {}), peaks=each)).states
    each["memory_used_bytes"] = 0.65e9
    assert [state.rule for state in judge(read(facts({}, {}), peaks=each)).states] == ["memory_full"]


def test_a_counter_that_starts_again_has_grown_by_what_it_shows():
    rng = np.random.default_rng(SEED)
    for _ in range(50):
        steps = rng.integers(0, 50, size=int(rng.integers(2, 60)))
        resets = rng.random(len(steps)) < 0.1
        shown, value = [], float(rng.integers(0, 1000))
        for step, is_reset in zip(steps, resets, strict=True):
            value = float(step) if is_reset else value + float(step)
            shown.append(value)
        grown = sum_increases(shown)
        assert grown <= float(steps[1:].sum()) + 1e-9
        if not resets[1:].any():
            assert grown == pytest.approx(float(steps[1:].sum()))

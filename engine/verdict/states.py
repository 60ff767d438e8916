"""What is true beside the shares: a device that is ill, a contended host, clocks held back, memory nearly full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.verdict import phrases
from engine.verdict.facts import Device, Facts
from engine.verdict.results import Evidence, State
from engine.verdict.rules import CRITICAL, FULL, HEAT_HELD, POWER_HELD, PRESSURE, RULES

LOW_MEMORY_PLANS = "micro-batch of 1, recomputation or offload"


def states_of(facts: Facts) -> tuple[State, ...]:
    return tuple(
        state
        for state in (*_health(facts), *_contention(facts), *_throttling(facts), *_memory(facts))
        if state is not None
    )


def fullest(facts: Facts) -> tuple[Device, float] | None:
    """The device with the least room, and how full it was at most."""
    found = [
        (device, device.peak_bytes / device.capacity_bytes)
        for device in facts.devices
        if device.peak_bytes is not None and device.capacity_bytes
    ]
    return max(found, key=lambda pair: pair[1], default=None)


def greatest(devices: Iterable[Device], metric: str) -> tuple[Device, float] | None:
    found = [(device, device.means[metric]) for device in devices if metric in device.means]
    return max(found, key=lambda pair: pair[1], default=None)


def contended(facts: Facts) -> tuple[Device, float] | None:
    """The CPU whose cores were waited for most, and for how much of the time; None where nobody had to wait."""
    found = greatest((d for d in facts.devices if d.kind == "cpu"), "cpu_pressure_share")
    return found if found and found[1] > PRESSURE else None


def _state(rule_id: str, what: str, severity: str, *evidence: Evidence) -> State:
    rule = RULES[rule_id]
    return State(rule.id, rule.limit, rule.title, severity, rule.sentence.format(what=what), evidence)


def _health(facts: Facts) -> Iterator[State]:
    if facts.faults:
        yield _state("unhealthy", " ".join(facts.faults), "strong")


def _contention(facts: Facts) -> Iterator[State]:
    if found := contended(facts):
        said = f"for {phrases.share(found[1])} of the time some process waited for one"
        yield _state(
            "contended", said, "notable",
            Evidence("CPU pressure", found[1], "share", "measured", f"> {phrases.share(PRESSURE)}", "PSI cpu some"),
        )  # fmt: skip


def _throttling(facts: Facts) -> Iterator[State]:
    for rule, metric, limit in (
        ("power_held", "power_throttle_share", POWER_HELD),
        ("heat_held", "thermal_throttle_share", HEAT_HELD),
    ):
        found = greatest(facts.devices, metric)
        if found and found[1] >= limit:
            yield _state(
                rule, phrases.share(found[1]), "notable",
                Evidence("Time held back", found[1], "share", "measured", f">= {phrases.share(limit)}",
                         "throttle counter / wall"),
            )  # fmt: skip


def _memory(facts: Facts) -> Iterator[State]:
    found = fullest(facts)
    said, evidence = [], []
    share = found[1] if found else 0.0
    if found and share >= FULL:
        device, _ = found
        said.append(
            f"Device {device.device} had {phrases.size(device.peak_bytes or 0)} of "
            f"{phrases.size(device.capacity_bytes or 0)} in use ({phrases.share(share)})."
        )
        evidence.append(
            Evidence("Most memory in use", share, "share", "measured",
                     f">= {phrases.share(FULL)}; strong from {phrases.share(CRITICAL)}", "peak / capacity")
        )  # fmt: skip
    retries = sum(device.alloc_retries or 0 for device in facts.devices)
    if retries:
        said.append(f"The allocator had to give memory back and try again {retries:.0f} times.")
        evidence.append(Evidence("Allocator retries", retries, "", "measured", "> 0", "torch allocator"))
    if facts.ran_out_of_memory:
        said.append("An earlier attempt ran out of memory.")
    if said:
        critical = share >= CRITICAL or retries > 0 or facts.ran_out_of_memory
        yield _state("memory_full", " ".join(said), "strong" if critical else "notable", *evidence)

"""What holds back the model's own arithmetic: clocks, memory capacity, memory bandwidth, small kernels, or nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.verdict import phrases
from engine.verdict.facts import Facts
from engine.verdict.results import Evidence, Finding
from engine.verdict.rules import (
    BANDWIDTH_BUSY,
    CLOCK_LOST,
    HEAT_HELD,
    NOTABLE,
    POWER_HELD,
    RULES,
    SM_BUSY,
    STRONG,
    TENSOR_BUSY,
    TENSOR_IDLE,
    USED_WELL,
)
from engine.verdict.shares import Shares

NOT_SEPARABLE = " Arithmetic or memory bandwidth: not separable here, for these devices have no counters."
COUNTERS = {
    "sm_active_share": ("SMs active", f">= {phrases.share(SM_BUSY)}"),
    "tensor_active_share": (
        "Tensor cores active",
        f"arithmetic >= {phrases.share(TENSOR_BUSY)}, memory < {phrases.share(TENSOR_IDLE)}",
    ),
    "memory_bandwidth_share": ("Memory bandwidth", f">= {phrases.share(BANDWIDTH_BUSY)}"),
}  # fmt: skip


def inside_of(facts: Facts, shares: Shares) -> Finding:
    """The one finding that names what the compute share is limited by."""
    compute = shares.share("compute")
    return next(_candidates(facts, shares, compute))


def _candidates(facts: Facts, shares: Shares, compute: float) -> Iterator[Finding]:
    for rule, metric, limit in (
        ("power", "power_throttle_share", POWER_HELD),
        ("heat", "thermal_throttle_share", HEAT_HELD),
    ):
        lost = _clock_lost(facts, metric, limit)
        if lost is not None and compute * lost >= NOTABLE:
            yield _finding(rule, compute * lost, shares, _counters(facts), _band(compute * lost))
    gain = facts.unlimited_gain_share
    if gain is not None and gain >= NOTABLE and _is_squeezed(facts):
        evidence = Evidence(
            "Saved by what memory refuses", gain, "share", "estimated", f">= {phrases.share(NOTABLE)}",
            "this run's phases, of a plan that will not fit",
        )  # fmt: skip
        # An estimate is never called strong.
        yield _finding("capacity", gain, shares, (evidence,), "notable")
    sm, tensor, dram = (mean_of(facts, name) for name in COUNTERS)
    if dram is not None and tensor is not None and dram >= BANDWIDTH_BUSY and tensor < TENSOR_IDLE:
        # Unless it is known that clocks are not held back, this may not be what costs most.
        severity = _band(compute) if _clocks_are_known(facts) else "notable"
        yield _finding("memory_bandwidth", compute, shares, _counters(facts), severity)
    if None not in (sm, tensor, dram) and sm >= SM_BUSY and tensor < TENSOR_BUSY and dram < BANDWIDTH_BUSY:  # type: ignore[operator]
        yield _finding("kernels", compute, shares, _counters(facts), "notable")
    yield _finding("compute", compute, shares, _counters(facts), "", _hint(facts, tensor, sm))


def mean_of(facts: Facts, metric: str) -> float | None:
    """Over the devices that have it."""
    found = [device.means[metric] for device in facts.devices if metric in device.means]
    return float(np.mean(found)) if found else None


def _clock_lost(facts: Facts, metric: str, limit: float) -> float | None:
    """1 - clock / reference of the device that is held back most; None where it is not, or not by much."""
    worst = None
    for device in facts.devices:
        clock, reference = device.means.get("sm_clock_hz"), device.clock_reference_hz
        if clock and reference and device.means.get(metric, 0.0) >= limit and clock < CLOCK_LOST * reference:
            worst = max(worst or 0.0, 1 - clock / reference)
    return worst


def _clocks_are_known(facts: Facts) -> bool:
    """Whether every device has told that nothing holds its clock back, or what clock it ran at."""
    limits = (("power_throttle_share", POWER_HELD), ("thermal_throttle_share", HEAT_HELD))
    return all(
        metric in device.means
        and (
            device.means[metric] < limit
            or bool(device.means.get("sm_clock_hz") and device.clock_reference_hz)
        )
        for device in facts.devices
        for metric, limit in limits
    )


def _is_squeezed(facts: Facts) -> bool:
    """Whether the plan itself shows that memory is short."""
    parallel, batch = facts.spec.get("parallel", {}), facts.spec.get("batch", {})
    return (
        batch.get("micro_batch_size") == 1
        or parallel.get("activation_checkpointing", "none") != "none"
        or "host" in (parallel.get("offload_optimiser"), parallel.get("offload_parameters"))
        or "disk" in (parallel.get("offload_optimiser"), parallel.get("offload_parameters"))
    )


def _counters(facts: Facts) -> tuple[Evidence, ...]:
    rows = []
    for metric, (title, threshold) in COUNTERS.items():
        value = mean_of(facts, metric)
        why = next((d.missing[metric] for d in facts.devices if metric in d.missing), "no device has told it")
        rows.append(
            Evidence(title, None, "share", "absent", threshold, "GPM, mean of the window", why)
            if value is None
            else Evidence(title, value, "share", "measured", threshold, "GPM, mean of the window")
        )
    for title, value, formula in (
        ("MFU", facts.mfu_share, "model FLOPs / (time x peak)"),
        ("OFU", facts.ofu_share, "tensor active x clock / reference clock"),
    ):
        if value is not None:
            rows.append(Evidence(title, value, "share", "derived", f">= {phrases.share(USED_WELL)}", formula))
    return tuple(rows)


def _hint(facts: Facts, tensor: float | None, sm: float | None) -> str:
    if facts.on_cpu or (tensor is None and sm is None):
        return NOT_SEPARABLE
    used = facts.ofu_share if facts.ofu_share is not None else facts.mfu_share
    if used is not None and used >= USED_WELL:
        return f" The device's arithmetic is used to {phrases.share(used)}: the good case."
    return ""


def _band(share: float) -> str:
    return phrases.severity(share, NOTABLE, STRONG)


def _finding(
    rule_id: str, share: float, shares: Shares, evidence: tuple[Evidence, ...], severity: str, hint: str = ""
) -> Finding:
    rule = RULES[rule_id]
    said = rule.sentence.format(share=phrases.share(share), floor=phrases.share(NOTABLE), hint=hint)
    own = Evidence(rule.title, share, "share", "derived", "what no loss takes", rule.formula)
    return Finding(
        rule.id, rule.limit, rule.title, share, share * shares.step_s, severity, said, (own, *evidence)
    )

"""The four limits as bars: the used share of each, by part."""

from __future__ import annotations

from engine.verdict.facts import Facts
from engine.verdict.formatting import format_bytes, format_share
from engine.verdict.readings import get_fullest_device, get_greatest, get_mean
from engine.verdict.results import BarPart, Finding, LimitBar
from engine.verdict.rules import BY_ID
from engine.verdict.shares import Shares
from engine.verdict.throttling import HEAT, POWER

LEAST_PART = 0.005  # smaller losses are not drawn


def build_bars(facts: Facts, shares: Shares, losses: tuple[Finding, ...]) -> tuple[LimitBar, ...]:
    """Losses count towards the bar of their rule's limit."""
    return (
        _build_compute_bar(shares, losses),
        _build_memory_bar(facts),
        _build_bandwidth_bar(facts, losses),
        _build_power_bar(facts),
    )


def _build_compute_bar(shares: Shares, losses: tuple[Finding, ...]) -> LimitBar:
    useful = shares.compute_share
    lost_parts = [part for part in _get_lost_parts("compute", losses) if part.share >= LEAST_PART]
    lost = sum(part.share for part in lost_parts)
    sentence = f"{format_share(useful)} of each step is the model's arithmetic, {format_share(lost)} is lost around it."
    parts = (BarPart("Model's arithmetic", useful), *lost_parts)
    return LimitBar("compute", "Compute", min(1.0, useful + lost), parts, sentence, "derived")


def _build_memory_bar(facts: Facts) -> LimitBar:
    found = get_fullest_device(facts)
    busy = get_mean(facts, "memory_bandwidth_share")
    bandwidth = f" Its bandwidth is used to {format_share(busy)}." if busy is not None else ""
    if found is None:
        sentence = "no device of this run reports both its memory in use and its capacity."
        return LimitBar("memory", "Memory", None, (), sentence + bandwidth, "absent")
    device, share = found
    sentence = (
        f"At most {format_bytes(device.peak_bytes or 0)} of {format_bytes(device.capacity_bytes or 0)} in use "
        f"on {'the fullest device' if len(facts.devices) > 1 else 'its device'}.{bandwidth}"
    )
    parts = (BarPart("In use", min(1.0, share)),)
    return LimitBar("memory", "Memory", min(1.0, share), parts, sentence, "measured")


def _build_bandwidth_bar(facts: Facts, losses: tuple[Finding, ...]) -> LimitBar:
    if not any("communication_s" in rank.phases for rank in facts.ranks):
        sentence = "no rank recorded its communication."
        return LimitBar("bandwidth", "Bandwidth", None, (), sentence, "absent")
    parts = _get_lost_parts("bandwidth", losses)
    share = sum(part.share for part in parts)
    if facts.world_size == 1:
        sentence = "One rank: nothing is sent."
    else:
        sentence = f"{format_share(share)} of each step is communication that nothing hides."
    return LimitBar("bandwidth", "Bandwidth", share, tuple(parts), sentence, "derived")


def _build_power_bar(facts: Facts) -> LimitBar:
    power, heat = (get_greatest(facts.devices, throttle.metric) for throttle in (POWER, HEAT))
    if power is None and heat is None:
        reason = next((d.missing["power_w"] for d in facts.devices if "power_w" in d.missing), "")
        sentence = reason.rstrip(".") or "no device reports its power, or why it cannot"
        return LimitBar("power", "Power", None, (), f"{sentence}.", "absent")
    power, heat = power or 0.0, heat or 0.0
    parts = (BarPart("Held back by power", power, True), BarPart("Held back by heat", heat, True))
    sentence = (
        f"Clocks were held back {format_share(power)} of the time by power and {format_share(heat)} by heat."
    )
    return LimitBar("power", "Power", min(1.0, power + heat), parts, sentence, "measured")


def _get_lost_parts(limit: str, losses: tuple[Finding, ...]) -> list[BarPart]:
    return [BarPart(BY_ID[loss.rule].part_name, loss.share, True) for loss in losses if loss.limit == limit]

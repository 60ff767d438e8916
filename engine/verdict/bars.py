"""The four limits as bars: how far each is used up, and by what."""

from __future__ import annotations

from engine.verdict import phrases
from engine.verdict.compute_bound import mean_of
from engine.verdict.facts import Facts
from engine.verdict.results import Bar, Finding, Part
from engine.verdict.shares import Shares
from engine.verdict.states import fullest, greatest

LOST = ("input", "bubble", "imbalance", "host")  # lost compute, as the four limits count it


def bars_of(facts: Facts, shares: Shares, losses: tuple[Finding, ...]) -> tuple[Bar, ...]:
    return (_compute(shares, losses), _memory(facts), _bandwidth(facts, shares), _power(facts))


def _compute(shares: Shares, losses: tuple[Finding, ...]) -> Bar:
    useful = shares.share("compute")
    parts = [Part("Model's arithmetic", useful)]
    parts += [
        Part(loss.title, loss.share, True) for loss in losses if loss.rule in LOST and loss.share >= 0.005
    ]
    lost = sum(part.share for part in parts if part.is_lost)
    said = f"{phrases.share(useful)} of each step is the model's arithmetic, {phrases.share(lost)} is lost around it."
    return Bar("compute", "Compute", min(1.0, useful + lost), tuple(parts), said, "derived")


def _memory(facts: Facts) -> Bar:
    found = fullest(facts)
    busy = mean_of(facts, "memory_bandwidth_share")
    beside = f" Its bandwidth is used to {phrases.share(busy)}." if busy is not None else ""
    if found is None:
        said = "no device of this run has told both what it used and what it has."
        return Bar("memory", "Memory", None, (), said + beside, "absent")
    device, share = found
    said = (
        f"At most {phrases.size(device.peak_bytes or 0)} of {phrases.size(device.capacity_bytes or 0)} in use "
        f"on {'the fullest device' if len(facts.devices) > 1 else 'its device'}.{beside}"
    )
    return Bar("memory", "Memory", min(1.0, share), (Part("In use", min(1.0, share)),), said, "measured")


def _bandwidth(facts: Facts, shares: Shares) -> Bar:
    if not any("communication_s" in rank.phases for rank in facts.ranks):
        return Bar("bandwidth", "Bandwidth", None, (), "no rank has told its communication.", "absent")
    share = shares.share("communication")
    if facts.world_size == 1:
        said = "One rank: nothing is sent."
    else:
        said = f"{phrases.share(share)} of each step is communication that nothing hides."
    return Bar(
        "bandwidth", "Bandwidth", share, (Part("Exposed communication", share, True),), said, "derived"
    )


def _power(facts: Facts) -> Bar:
    held = greatest(facts.devices, "power_throttle_share")
    heat = greatest(facts.devices, "thermal_throttle_share")
    if held is None and heat is None:
        why = next((d.missing["power_w"] for d in facts.devices if "power_w" in d.missing), "")
        said = why.rstrip(".") or "no device has told its power, or why it cannot"
        return Bar("power", "Power", None, (), f"{said}.", "absent")
    power, hot = held[1] if held else 0.0, heat[1] if heat else 0.0
    parts = (Part("Held back by power", power, True), Part("Held back by heat", hot, True))
    said = (
        f"Clocks were held back {phrases.share(power)} of the time by power and {phrases.share(hot)} by heat."
    )
    return Bar("power", "Power", min(1.0, power + hot), parts, said, "measured")

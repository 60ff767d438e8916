"""Idle device: compute phases in which the device mostly does nothing."""

from __future__ import annotations

from engine.verdict import remedies, spec_edits
from engine.verdict.counters import SM
from engine.verdict.facts import DeviceFacts, Facts
from engine.verdict.formatting import format_share
from engine.verdict.readings import get_active_share, get_mean
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.rule import Claim, ComputeBoundRule
from engine.verdict.stolen import CORES_USED, PRESSURES, UTILISATION, get_missing_cores_share
from engine.verdict.thresholds import get_severity

IDLE = 0.50  # share of the compute phases in which the device does nothing


def _detect(facts: Facts, compute_share: float) -> Claim | None:
    """The idle part of compute. Counters cover the whole step, of which other parts are idle anyway."""
    if facts.on_cpu:
        found = [get_missing_cores_share(device, compute_share) for device in facts.devices]
        idle = min((share for share in found if share is not None), default=None)
    else:
        active = get_active_share(facts)
        idle = None if active is None else max(0.0, compute_share - active)
    if idle is None or idle < IDLE * compute_share:
        return None
    severity = get_severity(idle)
    return Claim(idle, "notable" if severity and _may_be_pressed(facts) else severity)


def _may_be_pressed(facts: Facts) -> bool:
    """A pressure that is not measured may be what a rank on a CPU waits for."""
    return facts.on_cpu and not all(name in device.means for device in facts.devices for name in PRESSURES)


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    rows = []
    for title, metric, scale, unit in (
        ("SMs active", SM, 1.0, "share"),
        ("Device utilisation", UTILISATION, 0.01, "share"),
        ("Cores used", CORES_USED, 1.0, ""),
    ):
        value = get_mean(facts, metric)
        if value is not None:
            rows.append(Evidence(title, value * scale, unit, "measured", "", "mean of the window"))
        elif (reason := _get_reason(facts.devices, metric)) is not None:
            rows.append(Evidence(title, None, unit, "absent", "", "mean of the window", reason))
    if facts.mfu_share is not None:
        rows.append(Evidence("MFU", facts.mfu_share, "share", "derived", "", "model FLOPs / (time x peak)"))
    return tuple(rows)


def _get_reason(devices: tuple[DeviceFacts, ...], metric: str) -> str | None:
    return next((device.missing[metric] for device in devices if metric in device.missing), None)


RULE = ComputeBoundRule(
    id="idle",
    limit="compute",
    title="Idle device",
    sentence=(
        "The device does nothing for {share} of each step, inside phases that should compute: it waits for the host to "
        "launch its work.{hint}"
    ),
    formula=(
        f"compute - share of SMs (else of time) in use, from {format_share(IDLE)} of compute; CPU: compute - cores "
        "used by a rank of one core"
    ),
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=(SM, UTILISATION, CORES_USED, *PRESSURES),
    remedies=(
        remedies.LARGER_MICRO_BATCH,
        remedies.ACCUMULATE,
        remedies.FUSE,
        Remedy(
            "find_waits", "Look for waits inside the step",
            "A profiler shows what the ranks wait for: synchronisation, copies from memory that is not pinned, output.",
        ),
    ),
    twin_edits=(spec_edits.double_micro_batch, spec_edits.double_global_batch),
)  # fmt: skip

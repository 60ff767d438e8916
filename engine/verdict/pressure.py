"""Pressures on a host as losses of a step: what several rules share."""

from __future__ import annotations

from engine.verdict.results import Evidence
from engine.verdict.spec_change import SpecChange
from engine.verdict.step_model import StepModel
from engine.verdict.stolen import CORES_USED

RANKS_LISTED = 8


def measure_pressure(model: StepModel, pressure: str) -> float | None:
    """None if no device reports it, or nothing of it falls into this run's steps."""
    if not any(pressure in device.means for device in model.facts.devices):
        return None
    return model.get_pressure_s(pressure) or None


def predict_pressure(seconds: float, change: SpecChange) -> float:
    """It stretches what the rank computes."""
    return seconds * change.local_ratio


def is_pressure_uncertain(model: StepModel) -> bool:
    """A pressure is of the whole host: unless it is known how much a rank ran, another process may be what waits."""
    return not any(CORES_USED in device.means for device in model.facts.devices)


def get_pressure_evidence(model: StepModel, pressure: str, title: str, source: str) -> tuple[Evidence, ...]:
    """The pressure and the used cores of each device, or why they are unknown."""
    rows = []
    for device in model.facts.devices[:RANKS_LISTED]:
        value = device.means.get(pressure)
        if value is None:
            reason = device.missing.get(pressure, "the device does not report it")
            rows.append(Evidence(f"{title}, {device.title}", None, "share", "absent", "", source, reason))
        else:
            rows.append(Evidence(f"{title}, {device.title}", value, "share", "measured", "", source))
        used = device.means.get(CORES_USED)
        if used is not None:
            row = Evidence(
                f"Cores used, {device.title}", used, "", "measured", "", "process time / wall time"
            )
            rows.append(row)
    return tuple(rows)

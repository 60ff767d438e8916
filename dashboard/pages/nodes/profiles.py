"""Measured speeds of a node's devices: the figures of their probes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dashboard.html.format import as_bytes, as_count, as_figure
from engine.hardware.probe_results import PROBE_FIGURES
from jobs.models import DeviceProfile, Node
from jobs.planning import device_profiles
from jobs.planning.device_profiles import DeviceKind

FORMATTERS: dict[str, Callable[[float], str]] = {
    "flops_per_s": lambda value: as_count(value, "FLOP/s"),
    "bytes_per_s": lambda value: f"{as_bytes(value)}/s",
    "s": lambda value: f"{as_figure(value * 1e6)} µs",
}


@dataclass(frozen=True)
class SpeedRow:
    """One figure of a probe. `text` is '' where it was not measured; `reason` then explains it."""

    label: str
    meaning: str
    text: str
    quartiles: str
    n: int
    reason: str


@dataclass(frozen=True)
class ProfileCard:
    """Devices of one kind with the results of their probe."""

    kind: DeviceKind
    name: str
    indexes: str  # '#0, #1'
    rows: list[SpeedRow]


def build_cards(node: Node) -> list[ProfileCard]:
    return [_build_card(kind) for kind in device_profiles.get_device_kinds(node)]


def _build_card(kind: DeviceKind) -> ProfileCard:
    device = kind.devices[0]
    name = (
        device.name if device.cores is None else f"{device.name}, {device_profiles.cores_text(device.cores)}"
    )
    indexes = ", ".join(f"#{one.index}" for one in kind.devices)
    return ProfileCard(kind, name, indexes, build_rows(kind.profile) if kind.profile else [])


def build_rows(profile: DeviceProfile) -> list[SpeedRow]:
    """Build the rows in the order of PROBE_FIGURES; figures that this version does not know are left out."""
    return [
        _build_row(figure.label, figure.meaning, FORMATTERS[figure.unit], profile.figures.get(figure.name),
             profile.missing.get(figure.name))
        for figure in PROBE_FIGURES
        if figure.name in profile.figures or figure.name in profile.missing
    ]  # fmt: skip


def _build_row(
    label: str, meaning: str, write: Callable[[float], str], found: dict[str, Any] | None, missing: Any
) -> SpeedRow:
    if found is None:
        return SpeedRow(label, meaning, "", "", 0, f"{missing[0]}: {missing[1]}")
    quartiles = f"{write(found['low'])} to {write(found['high'])}"
    return SpeedRow(label, meaning, write(found["value"]), quartiles, found["n"], "")

"""What a page shows of what devices can do: the figures of their probes, each with its unit and standing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dashboard.html.format import as_bytes, as_count, as_figure
from engine.hardware.probe_results import PROBE_FIGURES
from jobs.models import DeviceProfile, Node
from jobs.planning import device_profiles
from jobs.planning.device_profiles import DeviceKind

WRITERS: dict[str, Callable[[float], str]] = {
    "flops_per_s": lambda value: as_count(value, "FLOP/s"),
    "bytes_per_s": lambda value: f"{as_bytes(value)}/s",
    "s": lambda value: f"{as_figure(value * 1e6)} µs",
}


@dataclass(frozen=True)
class Row:
    """One figure; `text` is '' where it could not be had, and `reason` says why."""

    label: str
    meaning: str
    text: str
    span: str  # its quartiles
    n: int
    reason: str


@dataclass(frozen=True)
class Card:
    """Devices that are alike: what their probe found."""

    kind: DeviceKind
    name: str
    indexes: str  # '#0, #1'
    rows: list[Row]


def cards(node: Node) -> list[Card]:
    return [_card(kind) for kind in device_profiles.get_device_kinds(node)]


def _card(kind: DeviceKind) -> Card:
    device = kind.devices[0]
    name = (
        device.name if device.cores is None else f"{device.name}, {device_profiles.cores_text(device.cores)}"
    )
    indexes = ", ".join(f"#{one.index}" for one in kind.devices)
    return Card(kind, name, indexes, rows(kind.profile) if kind.profile else [])


def rows(profile: DeviceProfile) -> list[Row]:
    """In the order of the table of figures; one that no probe of this version knows is left out."""
    return [
        _row(figure.label, figure.meaning, WRITERS[figure.unit], profile.figures.get(figure.name),
             profile.missing.get(figure.name))
        for figure in PROBE_FIGURES
        if figure.name in profile.figures or figure.name in profile.missing
    ]  # fmt: skip


def _row(
    label: str, meaning: str, write: Callable[[float], str], found: dict[str, Any] | None, why: Any
) -> Row:
    if found is None:
        return Row(label, meaning, "", "", 0, f"{why[0]}: {why[1]}")
    span = f"{write(found['low'])} to {write(found['high'])}"
    return Row(label, meaning, write(found["value"]), span, found["n"], "")

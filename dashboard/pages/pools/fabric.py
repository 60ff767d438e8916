"""What a fabric test's page shows: bus bandwidth over message size, and what was fitted to each collective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.charts import panels, plots
from dashboard.charts.plots import Dot, Plot, PlotLine
from dashboard.html.format import as_bytes, as_small_time
from engine.hardware.fabric_test import ALGORITHMS, Algorithm
from jobs.models import LinkProfile, Run
from jobs.planning import links

Points = list[dict[str, float]]


@dataclass(frozen=True)
class Row:
    """One collective: its fit, and the largest message's figures."""

    algorithm: Algorithm
    tone: str
    fit: LinkProfile | None
    best: float | None  # bus bandwidth
    largest: dict[str, float]  # s, sent_bytes
    planned_bytes: float | None  # what the busiest rank should send of the largest message, by the algorithm


def is_test(run: Run) -> bool:
    return run.spec.get("kind") == "fabric_test"


def of(run: Run) -> dict[str, Any]:
    """For the run's page; while it runs, what there is so far."""
    points = links.get_points(run)
    num_devices = run.job.num_devices if run.job else 0
    fits = {row.algorithm: row for row in LinkProfile.objects.filter(run=run)}
    rows = [
        _row(number, algorithm, points, fits, num_devices)
        for number, algorithm in enumerate(ALGORITHMS, start=1)
        if any(f"{algorithm.name}_s" in row for row in points)
    ]
    return {
        "fabric": {"rows": rows, "plot": _plot(rows, points), "points": points, "num_devices": num_devices}
    }


def device_sections(
    found: list[tuple[str, list[panels.PanelState]]],
) -> list[tuple[str, list[panels.PanelState]]]:
    """Of the sections of a training run, the panels of devices: a fabric test has no steps of training."""
    kept = [(title, [one for one in row if one.panel.scope == "device"]) for title, row in found]
    return [(title, row) for title, row in kept if row]


def _row(
    number: int, algorithm: Algorithm, points: Points, fits: Mapping[str, LinkProfile], num_devices: int
) -> Row:
    rates = [row[key] for row in points if (key := f"{algorithm.name}_bus_bytes_per_s") in row]
    last = points[-1]
    largest = {what: last[key] for what in ("s", "sent_bytes") if (key := f"{algorithm.name}_{what}") in last}
    planned = algorithm.sent(num_devices) * last["message_bytes"] if algorithm.sent else None
    return Row(
        algorithm, f"tone-{number}", fits.get(algorithm.name), max(rates, default=None), largest, planned
    )


def _plot(rows: list[Row], points: Points) -> Plot | None:
    rates = {row.algorithm.name: f"{row.algorithm.name}_bus_bytes_per_s" for row in rows}
    values = [point[key] for point in points for key in rates.values() if key in point]
    if not values:
        return None
    x = plots.axis([point["message_bytes"] for point in points], as_bytes, is_x=True, base=2)
    y = plots.axis(values, lambda value: f"{as_bytes(value)}/s", is_x=False, base=2)
    return Plot(x, y, [], [_line(row, rates, points, x, y) for row in rows], "message size", "bus bandwidth")


def _line(
    row: Row, rates: Mapping[str, str], points: Points, x: plots.PlotAxis, y: plots.PlotAxis
) -> PlotLine:
    key = rates[row.algorithm.name]
    dots = [
        Dot(x.at(point["message_bytes"]), y.at(point[key]), _said(row.algorithm, point, key))
        for point in points
        if point.get(key, 0) > 0
    ]
    return PlotLine(row.algorithm.title, row.tone, plots.polyline(dots), dots)


def _said(algorithm: Algorithm, point: Mapping[str, float], key: str) -> str:
    seconds = point[f"{algorithm.name}_s"]
    return f"{algorithm.title}, {as_bytes(point['message_bytes'])}: {as_bytes(point[key])}/s, {as_small_time(seconds)}"

"""Log-log drawing of rooflines, with the ceilings of the devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.charts import plots
from dashboard.charts.plots import Dot, Frame, Plot, PlotLine
from dashboard.html.format import as_count, as_share, as_small_time
from engine.planner.roofline import Ceilings
from jobs.verdicts.rooflines import RooflinePoint, RunRoofline

TONES = 8
MARGIN = 2.0  # factor around the outermost points
CORNERS = 3.0  # of the ridge that stays visible


@dataclass(frozen=True)
class RooflineRow:
    """One point as a row of the table; the drawing links to its anchor."""

    run: RunRoofline
    point: RooflinePoint
    tone: str
    anchor: str
    flops: str
    bytes: str
    intensity: str
    achieved: str
    limit: str


@dataclass(frozen=True)
class Ceiling:
    """One ceiling in the list under the drawing."""

    device: str
    title: str
    speed: str
    is_measured: bool
    source: str


def build_rows(found: Sequence[RunRoofline]) -> list[RooflineRow]:
    """With one run each phase has a tone, with several each run."""
    rows = []
    for number, one in enumerate(found):
        for index, point in enumerate(one.points):
            tone = f"tone-{(index if len(found) == 1 else number) % TONES + 1}"
            rows.append(
                RooflineRow(
                    one, point, tone, f"roofline-{number}-{point.phase}", as_count(point.flops, "FLOP"),
                    as_count(point.bytes, "B"), write_intensity(point.intensity), write_rate(point.flops_per_s),
                    write_rate(point.limit_flops_per_s) if point.limit_flops_per_s else "",
                )
            )  # fmt: skip
    return rows


def build_ceilings(found: Sequence[RunRoofline]) -> list[Ceiling]:
    """The ceilings of each device once."""
    listed: dict[tuple[str, str], Ceiling] = {}
    for ceilings, dtype in _devices(found):
        about = (ceilings.standing == "measured", ceilings.source)
        speeds = {"memory": f"{as_count(ceilings.memory_bytes_per_s)}B/s"} | {
            name: write_rate(rate)
            for name, rate in ceilings.flops_per_s.items()
            if name in ("fp32", "bf16", dtype)
        }
        for title, speed in speeds.items():
            listed[ceilings.device, title] = Ceiling(ceilings.device, title, speed, *about)
    return list(listed.values())


def build_drawing(rows: Sequence[RooflineRow], frame: Frame = plots.WIDE) -> Plot | None:
    """None without a point."""
    if not rows:
        return None
    devices = _devices([row.run for row in rows])
    ridges = [ceilings.ridge(dtype) for ceilings, dtype in devices if dtype in ceilings.flops_per_s]
    intensities = [row.point.intensity for row in rows] + [ridge * CORNERS for ridge in ridges]
    left, right = min(intensities) / MARGIN, max(intensities) * MARGIN
    rates = [row.point.flops_per_s for row in rows]
    tops = [rate for ceilings, _ in devices for rate in _drawn(ceilings).values()]
    x = plots.axis([left, right], write_intensity, is_x=True, frame=frame)
    y = plots.axis([min(rates) / MARGIN, max([*rates, *tops]) * MARGIN], write_rate, is_x=False, frame=frame)
    dots = [
        Dot(x.at(row.point.intensity), y.at(row.point.flops_per_s), _label(row), row.tone, f"#{row.anchor}")
        for row in rows
    ]
    lines = [
        _roof(x, y, ceilings, name, rate)
        for ceilings, _ in devices
        for name, rate in _drawn(ceilings).items()
    ]
    titles = {"x_title": "FLOPs per byte moved", "y_title": "FLOP/s of one device"}
    return Plot(x, y, dots, lines, **titles, frame=frame)


def write_rate(value: float) -> str:
    return as_count(value, "FLOP/s")


def write_intensity(value: float) -> str:
    return f"{value:.3g}"


def _drawn(ceilings: Ceilings) -> dict[str, float]:
    return {name: rate for name, rate in ceilings.flops_per_s.items() if name in ("fp32", "bf16")}


def _devices(found: Sequence[RunRoofline]) -> list[tuple[Ceilings, str]]:
    """Each device once, with the number format of the first run on it."""
    by_name = {one.ceilings.device: (one.ceilings, one.dtype) for one in reversed(found) if one.ceilings}
    return list(by_name.values())


def _roof(x: plots.PlotAxis, y: plots.PlotAxis, ceilings: Ceilings, name: str, rate: float) -> PlotLine:
    """From the left edge or the bottom along the memory's slope to the ridge, then flat."""
    first = max(x.low, y.low / ceilings.memory_bytes_per_s)
    ridge = rate / ceilings.memory_bytes_per_s
    corners = [first, ridge, x.high] if first < ridge < x.high else [first, x.high]
    points = [
        Dot(x.at(at), y.at(min(rate, at * ceilings.memory_bytes_per_s)), "") for at in corners if at <= x.high
    ]
    return PlotLine(f"{ceilings.device}, {name}", f"roof-{name}", plots.polyline(points), [])


def _label(row: RooflineRow) -> str:
    share = f", {as_share(row.point.share)} of what the device allows there" if row.point.share else ""
    return (
        f"{row.run.run.name}, {row.point.title}: {row.intensity} FLOPs per byte, {row.achieved}"
        f"{share}, in {as_small_time(row.point.seconds)}"
    )

"""Command `plan`: memory by place, time by phase and the best layouts of a spec."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.commands.tables import (
    GIB,
    format_bytes,
    format_percent,
    format_s,
    format_table,
    write,
    write_json,
)
from engine.data.epochs import Epochs, built_in_or_file_size, count_epochs
from engine.hardware.peaks import PEAKS, find_named
from engine.local import describe_devices, load_spec
from engine.planner import Estimate, HardwareProfile, Plan, SearchResult, plan, profile_from_peak, search
from engine.planner.advice import describe_layout
from engine.spec import grid
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.spec import Problem, Spec, SpecError
from engine.telemetry import inventory

EXIT_FITS, EXIT_WILL_NOT_FIT = 0, 1
LAYOUTS = 5
MOST_DEVICES = 4096


@dataclass(frozen=True)
class PlanOptions:
    """Arguments of the command. Without a device: those of this machine."""

    source: str
    changes: Sequence[str] = ()
    device: str | None = None
    count: int | None = None
    host_gib: float | None = None
    disk_gib: float | None = None
    is_json: bool = False


def run_plan(options: PlanOptions) -> int:
    """Print the plan. Raises SpecError for an invalid spec or device."""
    spec = load_spec(options.source, options.changes)
    if spec.kind == "fabric_test":
        raise SpecError([Problem("kind", "A fabric test trains no model, so it has no plan.")])
    profile, count = _find_profile(options, spec.parallel.world_size)
    refuse_impossible(spec, Hardware(profile.kind))
    if spec.parallel.world_size > count:
        have = (
            f"--count is {count}"
            if options.count
            else f"this machine has {count} (plan others with --device)"
        )
        message = f"{grid.product(spec.parallel)} need {spec.parallel.world_size} devices; {have}."
        raise SpecError([Problem("parallel.data", message)])
    found = plan(spec, profile)
    best = search(spec, profile, devices=count, limit=LAYOUTS) if found.time else None
    if options.is_json:
        write_json(_to_json(spec, profile, found, best))
    else:
        write("\n\n".join(_sections(spec, profile, found, count, best)))
    return EXIT_WILL_NOT_FIT if found.fits() == "will not fit" else EXIT_FITS


def _find_profile(options: PlanOptions, num_ranks: int) -> tuple[HardwareProfile, int]:
    """The profile of the named device, or of this machine's, and the number of devices: without a count those of this
    machine, or of a node, or as many as there are ranks."""
    for flag, value in (("--host-gib", options.host_gib), ("--disk-gib", options.disk_gib)):
        if value is not None and not 0 < value <= 1e6:
            raise SpecError(
                [Problem("", f"{flag} {value:g} is out of range: it must be above 0 and at most 1e6.")]
            )
    if options.count is not None and not 1 <= options.count <= MOST_DEVICES:
        message = f"--count {options.count} is out of range: it must be between 1 and {MOST_DEVICES:,}."
        raise SpecError([Problem("", message)])
    if options.device is None:
        devices = inventory.devices()
        profile, count = describe_devices(devices), options.count or len(devices)
    else:
        profile = find_profile(options.device)
        count = options.count or max(profile.devices_per_node or 1, num_ranks)
    capacities: dict[str, Any] = {
        name: int(gib * GIB)
        for name, gib in (("node_memory_bytes", options.host_gib), ("node_disk_bytes", options.disk_gib))
        if gib is not None
    }
    return dataclasses.replace(profile, **capacities), count


def find_profile(name: str) -> HardwareProfile:
    """The data sheet profile of a named device. Raises SpecError with names that exist."""
    peak = find_named(name)
    if peak is None:
        names = [row.name for row in PEAKS]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known devices: {', '.join(names)}."
        raise SpecError([Problem("", f"'{name}' is not a known device, and none is guessed. {hint}")])
    return profile_from_peak(peak)


def _to_json(spec: Spec, profile: HardwareProfile, found: Plan, best: SearchResult | None) -> dict[str, Any]:
    read = find_epochs(spec)
    return found.to_json() | {
        "fits": found.fits(),
        "epochs": read.count if read else None,
        "layout": describe_layout(spec),
        "device": {"name": profile.name, "standing": profile.standing, "source": profile.source},
        "warnings": [dataclasses.asdict(one) | {"sentence": one.sentence} for one in found.warnings],
        "best": [
            {
                "layout": describe_layout(one.spec), "changes": one.changes, "peak_bytes": one.peak_bytes,
                "fits": one.fits, "step_s": dataclasses.asdict(one.step_s) if one.step_s else None,
            }
            for one in (best.best if best else ())
        ],
    }  # fmt: skip


def _sections(
    spec: Spec, profile: HardwareProfile, found: Plan, count: int, best: SearchResult | None
) -> list[str]:
    devices = f"{spec.parallel.world_size} x {profile.name}"
    head = (
        f"{spec.name}: {found.num_parameters:,} parameters, {describe_layout(spec)}, {found.dtype}, on {devices}\n"
        f"Memory: {found.fits()}. Peak at '{found.peak.binds}', stage {found.peak.stage}. All figures are estimates."
    )
    sections = [head, _memory_table(found), *(warning.sentence for warning in found.warnings)]
    if read := find_epochs(spec):
        sections.append(" ".join(filter(None, (f"Data: {read.sentence}.", read.warning))))
    if found.time is None:
        return [*sections, f"Time: {found.why_not}"]
    sections.append(_time_table(found))
    if best is not None:
        sections.append(_layout_table(count, best))
    return sections


def find_epochs(spec: Spec) -> Epochs | None:
    """Of a built-in corpus, or of a file below this folder."""
    return count_epochs(spec, built_in_or_file_size(spec.data.corpus, Path.cwd()))


def _memory_table(found: Plan) -> str:
    rows: list[tuple[str, str, str, str]] = []
    for use in found.places:
        rows.append((use.place, format_bytes(use.needed_bytes), format_bytes(use.capacity_bytes), use.label))
        rows += [(f"  {cause}", format_bytes(size), "", "") for cause, size in use.parts.items() if size]
        if use.place == "device" and found.memory_range:
            rows.append(
                ("  with what the allocator keeps, up to", format_bytes(found.memory_range.high), "", "")
            )
    return format_table(("memory", "needed", "capacity", ""), rows)


def _time_table(found: Plan) -> str:
    time = found.time
    assert time is not None
    rows = [
        (
            name.removesuffix("_s").replace("_", " "),
            *_span(span),
            format_percent(span.point / time.step_s.point),
        )
        for name, span in time.phases.items()
        if span.high > 0
    ]
    rows.append(("step", *_span(time.step_s), ""))
    lines = [format_table(("phase", "low", "likely", "high", "share"), rows)]
    tokens, mfu = time.tokens_per_s, time.mfu_share
    lines.append(f"{tokens.point:,.0f} tokens/s ({tokens.low:,.0f} to {tokens.high:,.0f})")
    if mfu:
        lines[-1] += f", {format_percent(mfu.point)} of the peak ({time.standing} speeds)"
    whole = found.over_all_steps(time.step_s)
    assert whole is not None
    lines.append(f"{found.num_steps:,} steps take {format_s(whole.point)} without validation and checkpoints")
    return "\n".join(lines)


def _span(span: Estimate) -> tuple[str, str, str]:
    return format_s(span.low), format_s(span.point), format_s(span.high)


def _layout_table(count: int, best: SearchResult) -> str:
    title = f"Best layouts on up to {count} devices, of {best.num_tried:,} tried"
    if not best.best:
        return f"{title}: {best.why_not}"
    rows = [
        (
            describe_layout(one.spec),
            format_s(one.step_s.point) if one.step_s else "",
            format_bytes(one.peak_bytes),
            one.fits,
        )
        for one in best.best
    ]
    return f"{title}\n{format_table(('layout', 'step', 'peak', ''), rows)}"

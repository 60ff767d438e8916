"""Command `python -m tests.gpu OUT`: truth from one GPU in at most ten minutes.

    python -m tests.gpu OUT [--dry-run] [--minutes N] [--cases N] [--part NAME ...]

Writes a folder of JSON files with a summary in text and Markdown. Exit codes: 0 every part is complete, 1 some are not,
2 nothing was measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engine.telemetry import inventory
from tests.gpu.device import data_cases, probe_cases, recording_cases, start_recording
from tests.gpu.injected import injected_cases
from tests.gpu.mfu import decode_cases, mfu_cases
from tests.gpu.parts import Part, run_part
from tests.gpu.rank_bench import RankBench
from tests.gpu.results import ABOUT, PartResult, write_json
from tests.gpu.shapes import shape_cases
from tests.gpu.summary import describe, write_summary

# Budgets add up to less than ten minutes; time that a part leaves goes to those after it.
PARTS = (
    Part("data", "Prepared text", 60, data_cases),
    Part("probe", "Probe of the device", 40, probe_cases),
    Part("mfu", "Share of the peak", 90, mfu_cases),
    Part("shapes", "Memory and step time of 20 shapes", 150, shape_cases),
    Part("injected", "Verdicts of 30 injected causes", 180, injected_cases),
    Part("decode", "Greedy decoding", 40, decode_cases),
    Part("recording", "Recorded driver", 20, recording_cases),
)
TOTAL_S = 600.0
MINUTES, DRY_MINUTES = 10.0, 2.0
EXIT_COMPLETE, EXIT_INCOMPLETE, EXIT_USAGE = 0, 1, 2


def main(arguments: list[str]) -> int:
    options = _build_parser().parse_args(arguments)
    options.minutes = options.minutes or (DRY_MINUTES if options.dry_run else MINUTES)
    device = inventory.devices()[0]
    if device.kind != "cuda" and not options.dry_run:
        _show(f"No NVIDIA GPU: the only device is {device.name}. --dry-run takes the same path on a CPU.")
        return EXIT_USAGE
    if device.kind == "cuda" and options.dry_run:
        _show("A dry run is for a machine without a GPU; leave --dry-run out.")
        return EXIT_USAGE
    if options.out.exists() and any(options.out.iterdir()):
        _show(f"{options.out} is not empty. Choose another folder.")
        return EXIT_USAGE
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fourwalls-gpu-") as work:
        bench = RankBench(device, options.out.resolve(), Path(work), options.dry_run)
        bench.folders.data.mkdir()
        try:
            parts = measure(bench, options)
        finally:
            bench.close()
    return EXIT_COMPLETE if all(part.state == "complete" for part in parts) else EXIT_INCOMPLETE


def measure(bench: RankBench, options: argparse.Namespace) -> list[PartResult]:
    """Run the parts one after another. The folder is complete up to the last part at any time."""
    began, limit_s = time.monotonic(), 60 * options.minutes
    chosen = [part for part in PARTS if part.name in options.part or not options.part]
    about, found = _describe_machine(bench, options.minutes), []
    left_s = limit_s * (1 - sum(part.budget_s for part in chosen) / TOTAL_S)
    for part in chosen:
        if part.name == "mfu":
            start_recording(bench)
        own_s = limit_s * part.budget_s / TOTAL_S + max(0.0, left_s - limit_s * 0.02)
        _show(f"{part.title}: at most {own_s:.0f} s{' (dry run)' if bench.is_dry else ''}")
        result = run_part(part, bench, own_s, options.cases, _show)
        left_s = own_s - result.took_s
        found.append(result)
        result.write(bench.folder)
        about |= {"parts": [one.part for one in found], "took_s": time.monotonic() - began}
        about["loads"][part.name] = os.getloadavg()[0]
        write_json(bench.folder / ABOUT, about)
        write_summary(bench.folder, about, found)
    _show(f"{describe(about)}\n{bench.folder / 'summary.txt'}")
    return found


def _describe_machine(bench: RankBench, minutes: float) -> dict[str, Any]:
    facts = inventory.node_facts()
    return {
        "is_dry_run": bench.is_dry, "device": bench.device.name, "kind": bench.device.kind,
        "memory_bytes": bench.device.memory_bytes, "cores": os.cpu_count(), "python": facts["python"],
        "driver": facts.get("driver") or facts.get("driver_version") or facts.get("driver_absent") or "unknown",
        "torch": version("torch"), "deepspeed": version("deepspeed"), "date": time.strftime("%Y-%m-%d"),
        "minutes": minutes, "parts": [], "took_s": 0.0,
        "loads": {"start": os.getloadavg()[0]},  # of the last minute, after each part
    }  # fmt: skip


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description="Measure one NVIDIA GPU.")
    parser.add_argument("out", type=Path, help="a new folder for the results")
    parser.add_argument("--dry-run", action="store_true", help="take the same path with tiny shapes on a CPU")
    parser.add_argument(
        "--minutes", type=float, help="limit of the whole command (default 10, of a dry run 2)"
    )
    parser.add_argument("--cases", type=int, default=1000, help="most cases of each part")
    names = [part.name for part in PARTS]
    parser.add_argument(
        "--part", action="append", default=[], choices=names, help="only this part; repeatable"
    )
    return parser


def _show(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

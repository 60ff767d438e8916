"""Parts for the device itself: prepared data, probe, recorded driver."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from engine.data.prepare import prepare
from engine.hardware import probe_results
from engine.hardware.peaks import find_peak
from engine.hardware.probe_results import PROBE_FIGURES, ProbeReport
from engine.planner import PROBED_REACH, HardwareProfile, profile_from_peak
from engine.telemetry.nvml_record import Replay, record
from fourwalls.system.device_metrics import DEVICE_METRICS
from fourwalls.system.nvml import Nvml
from tests.engine.rank.attempts import ROOT
from tests.engine.telemetry.fake_nvml import FakeNvml
from tests.gpu.mfu import load
from tests.gpu.parts import MeasuredCase
from tests.gpu.rank_bench import RankBench, last_lines
from tests.gpu.results import ABSENT, Row
from tests.gpu.shapes import spec_of_shape, text_of

TICKS = {False: 30, True: 3}  # by whether it is a dry run
RECORDED, CONSTRUCTED = "nvml.jsonl", "constructed-nvml.jsonl"
UNITS = {"flops_per_s": "FLOP/s", "bytes_per_s": "B/s", "s": "s"}


def data_cases(bench: RankBench) -> list[MeasuredCase]:
    specs = {
        "text of the shapes": spec_of_shape({}, bench.is_dry),
        "text of the MFU models": load("124m", bench.is_dry),
    }

    def prepare_text(name: str) -> list[Row]:
        began = time.monotonic()
        found = prepare(specs[name].data, bench.folders.corpora, bench.folders.data)
        size = len(found.train)
        return [
            Row(
                "data",
                name,
                "s",
                measured=time.monotonic() - began,
                note=f"{size:,} tokens, {text_of(specs[name])}",
            )
        ]

    return [MeasuredCase("data", name, lambda _, name=name: prepare_text(name)) for name in specs]  # type: ignore[misc]


def probe_cases(bench: RankBench) -> list[MeasuredCase]:
    return [MeasuredCase("probe", "speeds of the device", _probe)]


def _probe(bench: RankBench) -> list[Row]:
    bench.folders.locks.mkdir(exist_ok=True)
    threads = max(1, int(bench.device.cores or 1))
    command = [sys.executable, "-m", "engine.rank.bench.probe", str(bench.folders.locks), bench.device.id,
               bench.device.kind, str(threads)]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300)
    assert done.returncode == 0, last_lines(done.stderr.decode(errors="replace"))
    report = probe_results.decode(done.stdout.splitlines()[-1])
    bench.profile = build_profile(bench, report)
    sheet = _sheet_figures(bench)
    rows = []
    for figure in PROBE_FIGURES:
        found = report.figures.get(figure.name)
        status, reason = report.missing.get(figure.name, (ABSENT, "not measured"))
        note = figure.meaning if found else f"{status}: {reason}"
        rows.append(
            Row("probe", figure.label, UNITS[figure.unit], sheet.get(figure.name), found.value if found else None,
                note=note, **({} if found else {"standing": ABSENT}))
        )  # fmt: skip
    return rows


def _sheet_figures(bench: RankBench) -> dict[str, float]:
    """Data sheet speeds; a probe reaches less, and the planner expects that share."""
    peak = find_peak(bench.device.name) if bench.on_cuda else None
    if peak is None:
        return {}
    figures = {f"gemm_{dtype}_flops_per_s": rate * 1e12 for dtype, rate in peak.tflops.items()}
    return figures | {
        "copy_bytes_per_s": peak.memory_bytes_per_s,
        "host_copy_bytes_per_s": peak.host_bytes_per_s,
    }


def build_profile(bench: RankBench, report: ProbeReport) -> HardwareProfile:
    """The profile that a node's page has after a probe."""
    values = {name: figure.value for name, figure in report.figures.items()}
    rates = {dtype: values[f"gemm_{dtype}_flops_per_s"] for dtype in probe_results.DTYPES
             if f"gemm_{dtype}_flops_per_s" in values}  # fmt: skip
    about: dict[str, Any] = {
        "name": bench.device.name, "kind": bench.device.kind, "standing": "measured", "source": "a probe",
        "flops_per_s": rates, "memory_bytes": bench.device.memory_bytes, "curves": report.curves,
        "memory_bytes_per_s": values.get("copy_bytes_per_s"), "compute_share": PROBED_REACH,
        "optimiser_bytes_per_s": values.get("optimiser_bytes_per_s"), "memory_share": PROBED_REACH,
        "operation_s": values["launch_s"],
    }  # fmt: skip
    peak = find_peak(bench.device.name) if bench.on_cuda else None
    return dataclasses.replace(profile_from_peak(peak), **about) if peak else HardwareProfile(**about)


def start_recording(bench: RankBench) -> None:
    """Record the driver beside the parts that follow."""
    if bench.on_cuda:
        command = [sys.executable, "-m", "engine.telemetry.nvml_record", str(bench.folder / RECORDED),
                   "--ticks", str(TICKS[bench.is_dry])]  # fmt: skip
        bench.recording = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def recording_cases(bench: RankBench) -> list[MeasuredCase]:
    return [MeasuredCase("recording", "a value or a reason for every metric at every tick", _read_recording)]


def _read_recording(bench: RankBench) -> list[Row]:
    path = bench.folder / (RECORDED if bench.on_cuda else CONSTRUCTED)
    if bench.recording:
        _, stderr = bench.recording.communicate(timeout=60)
        code, bench.recording = bench.recording.returncode, None
        assert code == 0, last_lines(stderr)
    elif not bench.on_cuda:
        about = {"kind": "constructed", "device": "no device: tests/engine/telemetry/fake_nvml.py (dry run)",
                 "driver": "none", "date": time.strftime("%Y-%m-%d"), "ticks": TICKS[True]}  # fmt: skip
        record(FakeNvml(), path, about, TICKS[True], lambda _: None)
    found = replay_recording(path)
    counts = f"{len(found['values'])} metrics with values, {len(found['reasons'])} with reasons"
    note = f"{counts}; replayed from {path.name}"
    return [Row("recording", "a value or a reason for every metric at every tick", "ticks", found["asked"],
                found["complete"], note=note, more={k: found[k] for k in ("values", "reasons")})]  # fmt: skip


def replay_recording(path: Path) -> dict[str, Any]:
    """Ticks with a value or a reason for everything, and the last value or reason of each metric."""
    binding = Replay(path)
    nvml, ticks = Nvml(binding), int(binding.about["ticks"])
    complete, values, reasons = 0, {}, {}
    for second in range(ticks):
        readings = nvml.read(float(second), {}).values()
        wanted = set(DEVICE_METRICS)
        complete += all({*r.metrics, *r.slow, *r.missing, "energy_j"} == wanted for r in readings)
        for reading in readings:
            values |= reading.metrics | reading.slow
            reasons |= {name: list(why) for name, why in reading.missing.items()}
    values.pop("sampling_s", None)
    reasons = {name: why for name, why in reasons.items() if name not in values}
    return {"asked": ticks, "complete": complete, "values": values, "reasons": reasons}

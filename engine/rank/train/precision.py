"""Choice of the number format of a run."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path

import torch

from engine.data.build_once import build_once
from engine.spec.spec import Problem, Spec, SpecError

CALIBRATION_VERSION = 1
# On a CPU the speed of bf16 must compensate for the fp32 master copy of the weights.
FASTER_BY = 1.2


def resolve_dtype(spec: Spec, device_kind: str, data_dir: Path) -> tuple[str, str, str]:
    """The format, a message with the reason, and the level of the message. Raises SpecError for fp16 on a CPU. All
    ranks of a node choose the same format, because they read one calibration."""
    wanted = spec.precision.dtype
    if wanted == "auto" and spec.optimiser.row.needs_fp32:
        return "fp32", f"Precision fp32, which {spec.optimiser.row.title} needs.", "info"
    if device_kind == "cuda":
        if wanted != "auto":
            return wanted, f"Precision {wanted}, as in the spec.", "info"
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "Precision bf16, which the GPU supports.", "info"
        return "fp32", "Precision fp32: this GPU does not support bf16.", "info"
    if wanted in ("fp16", "tf32"):
        raise SpecError([Problem("precision.dtype", f"CPU devices do not support {wanted}; fp32 works.")])
    if wanted == "fp32":
        return wanted, "Precision fp32, as in the spec.", "info"
    speed = _bf16_speed(data_dir)
    measured = f"a bf16 matrix product runs at {speed:.2g} x the speed of fp32 on this CPU"
    if wanted == "bf16":
        return (
            "bf16",
            f"Precision bf16, as in the spec; {measured}.",
            "info" if speed >= 1 else "warning",
        )
    chosen = "bf16" if speed >= FASTER_BY else "fp32"
    return chosen, f"Precision {chosen}: {measured}.", "info"


def _bf16_speed(data_dir: Path) -> float:
    """Time of an fp32 matrix product divided by that in bf16, from the calibration of this machine."""
    machine = f"{platform.node()}-{platform.machine()}-torch{torch.__version__}-{CALIBRATION_VERSION}"
    folder = build_once(data_dir / "calibration" / machine, _calibrate)
    return float(json.loads((folder / "matmul.json").read_text())["bf16_speed"])


def _calibrate(folder: Path) -> None:
    seconds = {dtype: _product_s(dtype) for dtype in (torch.float32, torch.bfloat16)}
    figures = {"bf16_speed": seconds[torch.float32] / seconds[torch.bfloat16], "shape": [128, 256, 256]}
    (folder / "matmul.json").write_text(json.dumps(figures))


def _product_s(dtype: torch.dtype) -> float:
    """Best time of five. Random values, because zeros are faster than real matrices."""
    left, right = (torch.randn(rows, 256).to(dtype) for rows in (128, 256))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - start)
    return best

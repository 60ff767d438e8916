"""Choice of the number format on a CPU, measured once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.rank.train import precision
from engine.spec.spec import SpecError
from tests.engine.rank.attempts import tiny


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[torch.dtype, float]:
    """Seconds of one matrix product, by format."""
    seconds = {torch.float32: 1.0, torch.bfloat16: 50.0}
    monkeypatch.setattr(precision, "_product_s", seconds.__getitem__)
    return seconds


def resolve(wanted: str, data_dir: Path) -> tuple[str, str, str]:
    return precision.resolve_dtype(tiny(precision={"dtype": wanted}), "cpu", data_dir)


def test_auto_takes_bf16_only_where_it_is_clearly_faster(
    seconds: dict[torch.dtype, float], tmp_path: Path
) -> None:
    chosen = {}
    for bf16_s in (50.0, 0.95, 0.5):
        seconds[torch.bfloat16] = bf16_s
        chosen[bf16_s] = resolve("auto", tmp_path / str(bf16_s))[0]
    assert chosen == {50.0: "fp32", 0.95: "fp32", 0.5: "bf16"}


def test_the_message_has_the_measured_speed(seconds: dict[torch.dtype, float], tmp_path: Path) -> None:
    _, why, level = resolve("auto", tmp_path)
    assert why == "Precision fp32: a bf16 matrix product runs at 0.02 x the speed of fp32 on this CPU."
    assert level == "info"


def test_slow_bf16_is_allowed_with_a_warning(seconds: dict[torch.dtype, float], tmp_path: Path) -> None:
    dtype, why, level = resolve("bf16", tmp_path)
    assert (dtype, level) == ("bf16", "warning")
    assert "0.02 x the speed" in why


def test_it_is_measured_once(
    seconds: dict[torch.dtype, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve("auto", tmp_path)
    monkeypatch.setattr(precision, "_product_s", lambda dtype: pytest.fail("measured again"))
    assert resolve("auto", tmp_path) == first


def test_a_real_calibration_gives_a_positive_figure(tmp_path: Path) -> None:
    assert precision._bf16_speed(tmp_path) > 0


def test_fp16_on_a_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="CPU devices do not support fp16"):
        resolve("fp16", tmp_path)

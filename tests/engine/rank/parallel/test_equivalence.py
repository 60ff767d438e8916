"""Equal loss series in every layout for one seed and global batch (fp32, 1e-5)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.spec.spec import Spec
from tests.engine.rank.attempts import Attempt, Forker, tiny, write_attempt

pytestmark = pytest.mark.ranks

TOLERANCE = 1e-5
STEPS = 30

LAYOUTS: dict[str, dict[str, dict[str, Any]]] = {
    "1 rank, one micro-batch": {"batch": {"micro_batch_size": 8}},
    "2 ranks, ZeRO 0": {"parallel": {"data": 2}},
    "2 ranks, ZeRO 1": {"parallel": {"data": 2, "zero_stage": 1}},
    "2 ranks, ZeRO 2": {"parallel": {"data": 2, "zero_stage": 2}},
    "2 ranks, ZeRO 3": {"parallel": {"data": 2, "zero_stage": 3}},
    "2 ranks, ZeRO 1, recomputing": {"parallel": {"data": 2, "zero_stage": 1, "activation_checkpointing": "full"}},
    "2 ranks, ZeRO 3, recomputing": {"parallel": {"data": 2, "zero_stage": 3, "activation_checkpointing": "full"}},
    "2 stages, ZeRO 0": {"parallel": {"stages": 2}},
    "2 stages, ZeRO 1": {"parallel": {"stages": 2, "zero_stage": 1}},
    "2 stages, ZeRO 1, recomputing": {
        "parallel": {"stages": 2, "zero_stage": 1, "activation_checkpointing": "full"}
    },
    "2 stages x 2 data ranks, ZeRO 1": {"parallel": {"data": 2, "stages": 2, "zero_stage": 1}},
    "2 ranks, ZeRO 2, optimiser on the host": {
        "parallel": {"data": 2, "zero_stage": 2, "offload_optimiser": "host"}
    },
    "2 ranks, ZeRO 3, all on the host": {
        "parallel": {"data": 2, "zero_stage": 3, "offload_optimiser": "host", "offload_parameters": "host"}
    },
    "2 stages, ZeRO 1, selectively recomputing": {
        "parallel": {"stages": 2, "zero_stage": 1, "activation_checkpointing": "selective"}
    },
    "2 tensor ranks, ZeRO 0": {"parallel": {"tensor": 2}},
    "2 tensor x 2 data ranks, ZeRO 2": {"parallel": {"tensor": 2, "data": 2, "zero_stage": 2}},
    "2 tensor ranks x 2 stages, ZeRO 1": {"parallel": {"tensor": 2, "stages": 2, "zero_stage": 1}},
}  # fmt: skip


@pytest.fixture(scope="module")
def reference(forker: Forker, rank_data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Attempt:
    """Return the attempt of one rank, ZeRO 0, four micro-batches per step."""
    return forker.start(
        write_attempt(tmp_path_factory.mktemp("reference"), _spec({}), rank_data_dir)
    ).succeeded()


def _spec(layout: dict[str, dict[str, Any]]) -> Spec:
    return tiny(**layout, budget={"steps": STEPS, "validate_every": 15})


def _difference(series: dict[int, float], reference: dict[int, float]) -> float:
    assert list(series) == list(range(1, STEPS + 1)) == list(reference)
    return max(abs(series[step] - reference[step]) / abs(reference[step]) for step in reference)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_has_the_loss_series_of_one_rank(
    name: str, start: Callable[..., Attempt], reference: Attempt, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = start(_spec(LAYOUTS[name])).succeeded()
    differences = {
        metric: _difference(attempt.series(metric), reference.series(metric))
        for metric in ("loss", "grad_norm")
    }
    held_out = [line.metrics["validation_loss"] for line in attempt.lines("validation")]
    expected = [line.metrics["validation_loss"] for line in reference.lines("validation")]
    with capsys.disabled():
        sys.stdout.write(
            f"\n{name:32} loss {differences['loss']:.1e}  gradient norm {differences['grad_norm']:.1e} "
        )
    assert differences["loss"] < TOLERANCE
    assert differences["grad_norm"] < 1e-4
    assert held_out == pytest.approx(expected, rel=TOLERANCE)
    assert attempt.series("tokens")[STEPS] == STEPS * 8 * 16


def test_the_loss_decreases(reference: Attempt) -> None:
    losses = reference.series("loss")
    assert losses[1] == pytest.approx(5.545, abs=0.05), "an untrained model guesses: ln 256"
    assert losses[STEPS] < losses[1] - 1

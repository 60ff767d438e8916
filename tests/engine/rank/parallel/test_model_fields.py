"""Equal loss series in every layout for random models over all fields of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.spec.spec import Spec
from tests.engine.rank.attempts import Attempt, tiny
from tests.engine.rank.families import LAYOUTS, PAIRS, difference, write_corpora
from tests.engine.rank.random_models import draw_model, objective_of

pytestmark = pytest.mark.ranks

STEPS = 10
TOLERANCE = 2e-5  # relative; tensor ranks and stages sum in another order
LAYOUT_NAMES = ("TP2", "PP2", "DP2 ZeRO 1", "DP2 ZeRO 2", "DP2 ZeRO 3")
# Each seed in one layout, so that all layouts meet other models.
CASES = [(seed, LAYOUT_NAMES[seed % len(LAYOUT_NAMES)]) for seed in range(15)]
RECOMPUTE = ("none", "selective", "full")


def build_spec(seed: int, layout: str) -> Spec:
    fields: dict[str, Any] = draw_model(seed, ("decoder", "decoder", "encoder", "encoder-decoder"))
    data = {"objective": objective_of(fields)}
    if data["objective"] == "pairs":
        data["corpus"] = PAIRS
    parallel = LAYOUTS[layout] | {
        "activation_checkpointing": RECOMPUTE[seed % 3] if LAYOUTS[layout] else "none"
    }
    return tiny(model=fields, data=data, parallel=parallel, budget={"steps": STEPS, "validate_every": STEPS})


@pytest.mark.parametrize(("seed", "layout"), CASES)
def test_a_random_model_has_the_loss_series_of_one_rank(
    seed: int, layout: str, start: Callable[..., Attempt], rank_data_dir: Any
) -> None:
    write_corpora(rank_data_dir)
    expected = start(build_spec(seed, "1 rank"), "one").succeeded()
    attempt = start(build_spec(seed, layout), "several").succeeded()
    assert list(attempt.series("loss")) == list(range(1, STEPS + 1))
    assert difference(attempt, expected, "loss") < TOLERANCE
    assert difference(attempt, expected, "grad_norm") < 1e-3
    found, wanted = (
        [line.metrics["validation_loss"] for line in run.lines("validation")] for run in (attempt, expected)
    )
    assert found == pytest.approx(wanted, rel=TOLERANCE)

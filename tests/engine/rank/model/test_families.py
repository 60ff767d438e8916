"""Loss series of each model family in the layouts with code of its own.

All combinations are measured in tests/perf.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.rank.attempts import Attempt, Forker, tiny, write_attempt
from tests.engine.rank.families import STEPS, build_spec, difference, tolerance, write_corpora

pytestmark = pytest.mark.ranks

CASES = [
    ("Llama", "PP2"),
    ("Llama", "TP2"),
    ("BERT", "DP2 ZeRO 1"),
    ("classifier", "TP2 x PP2 ZeRO 1"),
    ("T5", "PP2"),
    ("T5", "DP2 x TP2 ZeRO 2"),
]


@pytest.fixture(scope="module")
def reference(
    forker: Forker, rank_data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Attempt]:
    """reference(family): the attempt of one rank, run once per family."""
    write_corpora(rank_data_dir)
    done: dict[str, Attempt] = {}

    def run(family: str) -> Attempt:
        if family not in done:
            folder = tmp_path_factory.mktemp("reference")
            directory = write_attempt(folder, build_spec(family, "1 rank"), rank_data_dir)
            done[family] = forker.start(directory).succeeded()
        return done[family]

    return run


@pytest.mark.parametrize(("family", "layout"), CASES)
def test_a_family_has_the_loss_series_of_one_rank(
    family: str, layout: str, reference: Callable[[str], Attempt], start: Callable[..., Attempt]
) -> None:
    expected, attempt = reference(family), start(build_spec(family, layout)).succeeded()
    assert list(attempt.series("loss")) == list(attempt.series("grad_norm")) == list(range(1, STEPS + 1))
    assert difference(attempt, expected, "loss") < tolerance(family, layout)
    assert difference(attempt, expected, "grad_norm") < 1e-4
    losses, expected_losses = (
        [line.metrics["validation_loss"] for line in run.lines("validation")] for run in (attempt, expected)
    )
    assert losses == pytest.approx(expected_losses, rel=tolerance(family, layout))
    assert expected.series("loss")[STEPS] < expected.series("loss")[1]


def test_tensor_ranks_use_the_same_dropout_on_replicated_tensors(start: Callable[..., Attempt]) -> None:
    """A checkpoint has the first tensor rank's copy of replicated state. If the copies differed, the resumed run would
    differ from the uninterrupted one."""
    spec = tiny(model={"dropout": 0.3}, parallel={"tensor": 2}, budget={"steps": 8, "checkpoint_every": 4})
    whole = start(spec, "whole").succeeded()
    again = start(spec, "again", resume_from=whole.directory.checkpoints / "step-00000004").succeeded()
    assert list(again.series("loss")) == [5, 6, 7, 8]
    assert difference(again, whole, "loss") == difference(again, whole, "grad_norm") == 0

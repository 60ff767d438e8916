"""Evaluation by real ranks: metrics and sample outputs in any layout."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.scores import TEXT_METRICS
from engine.telemetry import wire
from tests.engine.rank.attempts import Attempt, tiny

pytestmark = pytest.mark.ranks

BUDGET = {"steps": 4, "validate_every": 2, "checkpoint_every": 0}


@pytest.fixture(scope="module", autouse=True)
def files(rank_data_dir: Path) -> None:
    pairs = [{"source": f"number {n}", "target": f"nombre {n % 7}"} for n in range(200)]
    labels = [{"text": f"number {n}", "label": "odd" if n % 2 else "even"} for n in range(200)]
    for name, rows in (("pairs", pairs), ("labels", labels)):
        (rank_data_dir / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def pairs(family: str, **parallel: Any) -> Any:
    return tiny(
        model={"family": family}, budget=BUDGET, parallel=parallel,
        data={"tokenizer": "bytes", "corpus": "pairs.jsonl", "objective": "pairs", "validation_share": 0.2},
    )  # fmt: skip


def outputs(attempt: Attempt) -> list[tuple[int | None, int, dict[str, str]]]:
    return [(line.step, line.number, line.texts) for line in attempt.lines("output")]


def figures(line: wire.SpoolLine) -> dict[str, float]:
    """The metrics that a validation computes, without its time."""
    return {name: wire.number(value) for name, value in line.metrics.items() if name != "validation_s"}


def test_outputs_and_scores_do_not_depend_on_the_number_of_ranks(
    start: Callable[..., Attempt],
) -> None:
    alone = start(pairs("encoder-decoder"), "alone").succeeded()
    shared = start(pairs("encoder-decoder", data=2, zero_stage=3), "shared").succeeded()
    assert [step for step, _, _ in outputs(alone)] == [2] * 4 + [4] * 4
    assert outputs(alone) == outputs(shared)
    for one, two in zip(alone.lines("validation"), shared.lines("validation"), strict=True):
        assert figures(one).keys() >= {
            "validation_loss",
            "perplexity",
            "bits_per_byte",
            "loss_gap",
            *TEXT_METRICS,
        }
        assert figures(one) == pytest.approx(figures(two), rel=1e-4)
    [note] = [line.text for line in alone.lines("note", "rank0") if line.text.startswith("Baselines")]
    assert "bleu" in note and "validation_loss" in note


def test_a_decoder_generates_after_the_separator(start: Callable[..., Attempt]) -> None:
    attempt = start(pairs("decoder")).succeeded()
    for _, _, texts in outputs(attempt):
        assert texts["prompt"].startswith("number ")
        assert texts["reference"].startswith("nombre ")
    assert figures(attempt.lines("validation")[-1]).keys() >= set(TEXT_METRICS)


def test_a_pipeline_records_why_its_outputs_are_not_scored(start: Callable[..., Attempt]) -> None:
    attempt = start(pairs("decoder", stages=2)).succeeded()
    found = figures(attempt.lines("validation")[-1])
    assert found.keys() >= {"token_accuracy_share", "perplexity"}
    assert not found.keys() & set(TEXT_METRICS)
    missing = attempt.lines("step")[0].missing
    assert missing["bleu"][0] == "unsupported" and "pipeline" in missing["bleu"][1]


@pytest.mark.parametrize(
    ("family", "data", "metric"),
    [
        (
            "encoder",
            {"corpus": "labels.jsonl", "objective": "classes", "validation_share": 0.2},
            "accuracy_share",
        ),
        ("encoder", {"objective": "masked"}, "token_accuracy_share"),
        ("decoder", {}, "token_accuracy_share"),
    ],
)
def test_other_objectives_have_accuracy_and_sample_outputs(
    family: str, data: dict[str, Any], metric: str, start: Callable[..., Attempt]
) -> None:
    attempt = start(
        tiny(model={"family": family}, data={"tokenizer": "bytes"} | data, budget=BUDGET)
    ).succeeded()
    last = figures(attempt.lines("validation")[-1])
    assert 0 <= last[metric] <= 1
    if metric == "token_accuracy_share":
        assert last["perplexity"] == pytest.approx(math.exp(last["validation_loss"]))
    assert len(outputs(attempt)) == 8
    assert all(texts["prompt"] and texts["reference"] for _, _, texts in outputs(attempt))

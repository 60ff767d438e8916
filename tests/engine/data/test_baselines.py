"""Baselines: the loss of frequencies, the accuracy of the most frequent class."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from engine.data import baselines, prepare
from engine.spec.spec import parse


def test_the_baseline_of_classes_is_their_entropy_and_the_share_of_the_most_frequent(
    tmp_path: Path,
) -> None:
    rows = [{"text": f"number {n}", "label": "rare" if n % 4 == 0 else "usual"} for n in range(400)]
    (tmp_path / "labels.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    spec = parse(
        {
            "model": {"family": "encoder"},
            "data": {
                "corpus": "labels.jsonl",
                "objective": "classes",
                "tokenizer": "bytes",
                "validation_share": 0.5,
            },
        }
    )
    found = baselines.compute_baselines(spec, prepare.prepare(spec.data, tmp_path, tmp_path / "data"))
    assert found["accuracy_share"] == pytest.approx(0.75, abs=0.06)
    assert found["validation_loss"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), abs=0.06)


def test_the_baseline_of_tokens_is_the_entropy_of_single_tokens(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("ab\nba\naa\nbb\n" * 4000)
    spec = parse({"data": {"corpus": "text.txt", "tokenizer": "bytes", "validation_share": 0.1}})
    prepared = prepare.prepare(spec.data, tmp_path, tmp_path / "data")
    assert baselines.compute_baselines(spec, prepared)["validation_loss"] == pytest.approx(
        math.log(3), abs=0.01
    )


def test_bits_per_byte_do_not_depend_on_the_tokenizer() -> None:
    assert baselines.bits_per_byte(math.log(2), 100, 100) == pytest.approx(1)
    assert baselines.bits_per_byte(4 * math.log(2), 25, 100) == pytest.approx(1)

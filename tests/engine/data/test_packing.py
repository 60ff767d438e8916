"""Packed sequences: every document once, positions that restart, the same rows in any layout."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data import objectives, prepare
from engine.data.full_batch import build_full_batch, use_full_batch
from engine.data.packing import PackedInputs, pack, split_window
from engine.data.prepare import PreparedData
from engine.data.special_tokens import IGNORED, special_tokens
from engine.spec import checks
from engine.spec.spec import Spec, SpecError, parse

SEED = 20261201


@pytest.mark.parametrize("seed", range(200))
def test_every_document_is_in_one_sequence_that_holds_it(seed: int) -> None:
    draw = random.Random(SEED + seed)
    context = draw.choice([8, 64, 1000])
    lengths = np.array([draw.randint(1, context) for _ in range(draw.choice([1, 7, 300]))], np.int64)
    packed = pack(lengths, context)
    assert sorted(number for one in packed for number in one) == list(range(len(lengths)))
    fills = [int(lengths[one].sum()) for one in packed]
    assert max(fills) <= context
    fewest = -(-int(lengths.sum()) // context)
    assert len(packed) <= 11 / 9 * max(fewest, (lengths > context / 2).sum()) + 1
    assert pack(lengths, context) == packed


def ready(root: Path, objective: str, packing: bool = True, **model: Any) -> tuple[Spec, PreparedData]:
    draw = random.Random(SEED)
    rows: list[dict[str, Any]] = []
    for number in range(300):
        asked, answer = f"{number} " + "q" * draw.randint(1, 30), "a" * draw.randint(1, 40)
        turns = [("user", asked), ("assistant", answer)] * draw.randint(1, 2)
        rows.append(
            {
                "chat": {"messages": [{"role": role, "content": text} for role, text in turns]},
                "pairs": {"source": asked, "target": answer},
                "next_token": {"text": f"{asked} {answer}"},
            }[objective]
        )
    (root / f"{objective}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    spec = parse(
        {"data": {"corpus": f"{objective}.jsonl", "objective": objective, "tokenizer": "bytes", "packing": packing,
                  "validation_share": 0.2},
         "model": {"context": 96} | model, "batch": {"global_batch_size": 8, "micro_batch_size": 2}}
    )  # fmt: skip
    return spec, prepare.prepare(spec.data, root, root / "data")


def documents_of(inputs: PackedInputs, targets: Any) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The documents with a target, as ids and targets without what fills a row."""
    found = []
    for ids, positions, expected in zip(*inputs, targets, strict=True):
        for part in np.split(np.arange(len(ids)), np.flatnonzero(positions == 0)[1:]):
            assert (positions[part] == np.arange(len(part))).all()
            if (expected[part] != IGNORED).any():
                last = int(np.flatnonzero(expected[part] != IGNORED)[-1]) + 1
                found.append((tuple(ids[part][:last].tolist()), tuple(expected[part][:last].tolist())))
    return found


@pytest.mark.parametrize("objective", ["chat", "pairs"])
def test_an_epoch_holds_every_document_of_the_unpacked_rows_once(objective: str, tmp_path: Path) -> None:
    spec, prepared = ready(tmp_path, objective)
    plain, _ = ready(tmp_path, objective, packing=False)
    count = objectives.count_sequences(spec, prepared)
    assert count < 0.9 * len(prepared.train)
    packed = objectives.build_training(spec, prepared).rows(0, 0, count)
    ids, targets = objectives.build_training(plain, prepared).rows(0, 0, len(prepared.train))
    alone = PackedInputs(ids, np.broadcast_to(np.arange(96), ids.shape))
    assert sorted(documents_of(*packed)) == sorted(documents_of(alone, targets))


@pytest.mark.parametrize("objective", ["chat", "pairs", "next_token"])
def test_the_slices_of_all_ranks_form_the_whole_batch(objective: str, tmp_path: Path) -> None:
    spec, prepared = ready(tmp_path, objective)
    whole, targets = objectives.build_training(spec, prepared).rows(5, 0, 8)
    for ranks in (1, 2, 4):
        again, size = objectives.build_training(spec, prepared), 8 // ranks
        again.rows(40, 0, 8)
        parts = [again.rows(5, rank * size, (rank + 1) * size) for rank in range(ranks)]
        for column, expected in enumerate(whole):
            assert (np.concatenate([inputs[column] for inputs, _ in parts]) == expected).all()
        assert (np.concatenate([one for _, one in parts]) == targets).all()


@pytest.mark.parametrize("objective", ["chat", "pairs", "next_token"])
def test_the_correction_gives_the_mean_over_real_targets(objective: str, tmp_path: Path) -> None:
    spec, prepared = ready(tmp_path, objective)
    source, held_out = objectives.build_training(spec, prepared), objectives.build_validation(spec, prepared)
    for step in (0, 3):
        _, targets = source.rows(step, 0, 8)
        assert source.correction(step) == pytest.approx(targets.size / (targets != IGNORED).sum())
    judged = np.concatenate([held_out.rows(batch, 0, 8)[1] for batch in range(held_out.batches)])
    assert held_out.correction == pytest.approx(judged.size / (judged != IGNORED).sum())


def test_a_stretch_of_text_is_cut_at_the_end_of_each_document() -> None:
    ids = np.array([[5, 6, 0, 7, 0, 0, 8, 9]])
    targets = np.array([[6, 0, 7, 0, 0, 8, 9, 4]])
    inputs, cut = split_window(ids, targets, end=0)
    assert inputs.positions.tolist() == [[0, 1, 2, 0, 1, 0, 0, 1]]
    assert cut.tolist() == [[6, 0, IGNORED, 0, IGNORED, IGNORED, 9, 4]]


def test_a_document_longer_than_the_context_is_cut_and_never_lost(tmp_path: Path) -> None:
    spec, prepared = ready(tmp_path, "chat", context=16)
    source = objectives.build_training(spec, prepared)
    count = objectives.count_sequences(spec, prepared)
    inputs, targets = source.rows(0, 0, count)
    assert (inputs.positions == 0).sum(1).min() == 1
    assert targets.shape == (count, 16)
    assert source.correction(0) >= 1


def test_a_full_batch_and_token_dropout_keep_the_positions(tmp_path: Path) -> None:
    spec, prepared = ready(tmp_path, "chat")
    dropped = parse(spec.model_dump() | {"data": spec.data.model_dump() | {"token_dropout": 0.3}})
    plain, _ = objectives.build_training(spec, prepared).rows(2, 0, 8)
    masked, _ = objectives.build_training(dropped, prepared).rows(2, 0, 8)
    assert (masked.positions == plain.positions).all()
    changed = masked.ids != plain.ids
    assert changed.any() and (masked.ids[changed] == special_tokens("bytes").mask).all()
    full = use_full_batch(
        parse(spec.model_dump() | {"batch": spec.batch.model_dump() | {"full_batch": True}}), prepared
    )
    batch = build_full_batch(full, prepared)
    size = full.batch.global_batch_size
    (ids, positions), targets = batch.rows(0, 0, size)
    assert ids.shape == positions.shape == targets.shape == (size, 96)
    assert batch.correction(0) == pytest.approx(targets.size / (targets != IGNORED).sum())


@pytest.mark.parametrize(("family", "objective"), [("encoder", "masked"), ("encoder-decoder", "pairs")])
def test_packing_is_refused_where_a_sequence_holds_one_text(family: str, objective: str) -> None:
    spec = parse({"model": {"family": family}, "data": {"objective": objective, "packing": True}})
    with pytest.raises(SpecError, match="Packing needs a decoder") as caught:
        checks.refuse_impossible(spec)
    assert {"data.packing": False} in [problem.fix for problem in caught.value.problems]

"""Batches of each objective: content, order and masks in any layout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data import full_batch, objectives, prepare
from engine.data.prepare import PreparedData
from engine.data.special_tokens import IGNORED, PADDING, special_tokens
from engine.data.tokenizers import ByteTokenizer
from engine.spec.spec import Spec, SpecError, parse

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text("".join(f"line {n}: {n * 7919 % 1000} bottles\n" for n in range(4000)))
    pairs = [
        {"source": f"{a} and {b}", "target": f"{WORDS[a]} {WORDS[b]}"} for a in range(10) for b in range(10)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(f"{json.dumps(pair)}\n" for pair in pairs))
    labels = [{"text": f"number {n}", "label": "odd" if n % 2 else "even"} for n in range(90)]
    (tmp_path / "labels.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in labels))
    return tmp_path


def ready(root: Path, objective: str, family: str, **data: Any) -> tuple[Spec, PreparedData]:
    file = {"pairs": "pairs.jsonl", "classes": "labels.jsonl"}.get(objective, "text.txt")
    spec = parse(
        {
            "model": {"family": family, "context": 24},
            "data": {"corpus": file, "objective": objective, "tokenizer": "bytes", "validation_share": 0.2}
            | data,
            "batch": {"global_batch_size": 8, "micro_batch_size": 2},
        }
    )
    return spec, prepare.prepare(spec.data, root, root / "data")


EVERY = [
    ("next_token", "decoder"),
    ("masked", "encoder"),
    ("classes", "encoder"),
    ("pairs", "encoder-decoder"),
    ("pairs", "decoder"),
]


def arrays(rows: tuple[Any, Any]) -> list[Any]:
    inputs, targets = rows
    return [*(inputs if isinstance(inputs, tuple) else (inputs,)), targets]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(("objective", "family"), EVERY)
def test_the_slices_of_all_ranks_form_the_whole_batch(
    objective: str, family: str, dropout: float, root: Path
) -> None:
    spec, prepared = ready(root, objective, family, token_dropout=dropout)
    whole = arrays(objectives.build_training(spec, prepared).rows(5, 0, 8))
    for ranks in (1, 2, 4, 8):
        size, again = 8 // ranks, objectives.build_training(spec, prepared)
        again.rows(40, 0, 8)  # an earlier call changes nothing
        parts = [arrays(again.rows(5, rank * size, (rank + 1) * size)) for rank in range(ranks)]
        for position, expected in enumerate(whole):
            assert expected.dtype == np.int64
            assert (np.concatenate([part[position] for part in parts]) == expected).all()


@pytest.mark.parametrize(("objective", "family"), EVERY)
def test_the_correction_gives_the_mean_over_real_targets(objective: str, family: str, root: Path) -> None:
    spec, prepared = ready(root, objective, family)
    source, held_out = objectives.build_training(spec, prepared), objectives.build_validation(spec, prepared)
    for step in (0, 3):
        _, targets = source.rows(step, 0, 8)
        assert source.correction(step) == pytest.approx(targets.size / (targets != IGNORED).sum())
    judged = np.concatenate([held_out.rows(batch, 0, 8)[1] for batch in range(held_out.batches)])
    assert held_out.correction == pytest.approx(judged.size / (judged != IGNORED).sum())


@pytest.mark.parametrize(("objective", "family"), EVERY)
def test_validation_is_the_same_every_time(objective: str, family: str, root: Path) -> None:
    spec, prepared = ready(root, objective, family)
    other = parse(spec.model_dump() | {"seed": 7})
    first, second = (objectives.build_validation(one, prepared).rows(0, 0, 8) for one in (spec, other))
    for one, two in zip(arrays(first), arrays(second), strict=True):
        assert (one == two).all()


def test_tokens_are_masked_with_the_shares_of_bert(root: Path) -> None:
    spec, prepared = ready(root, "masked", "encoder")
    spec = parse(spec.model_dump() | {"batch": {"global_batch_size": 500, "micro_batch_size": 2}})
    source, mask = objectives.build_training(spec, prepared), special_tokens("bytes").mask
    inputs, targets = source.rows(0, 0, 500)
    plain, _ = objectives.build_training(
        parse(spec.model_dump() | {"data": spec.data.model_dump() | {"objective": "next_token"}}), prepared
    ).rows(0, 0, 500)
    predicted = targets != IGNORED
    assert (predicted.sum(1) == 4).all(), "15 % of 24, in every row"
    assert (targets[predicted] == plain[predicted]).all()
    assert (inputs[~predicted] == plain[~predicted]).all()
    masked, same = inputs[predicted] == mask, inputs[predicted] == plain[predicted]
    assert masked.mean() == pytest.approx(0.8, abs=0.03)
    assert same.mean() == pytest.approx(0.1, abs=0.03)
    assert (~masked & ~same).mean() == pytest.approx(0.1, abs=0.03)
    later, _ = source.rows(1, 0, 500)
    assert (later == mask).sum(1).mean() == pytest.approx((inputs == mask).sum(1).mean(), abs=0.3)


def test_a_pair_becomes_encoder_input_and_shifted_decoder_input(root: Path) -> None:
    spec, prepared = ready(root, "pairs", "encoder-decoder")
    (source, given), targets = objectives.build_training(spec, prepared).rows(0, 0, 8)
    special, text = special_tokens("bytes"), ByteTokenizer()
    for row in range(8):
        a, b = text.decode(source[row]).split(" and ")
        expected = f"{WORDS[int(a)]} {WORDS[int(b)]}"
        length = len(expected)
        assert text.decode(targets[row]) == expected
        assert targets[row, length] == special.end
        assert (targets[row, length + 1 :] == IGNORED).all()
        assert given[row, 0] == special.begin
        assert (given[row, 1 : length + 1] == targets[row, :length]).all()
        assert (given[row, length + 1 :] == PADDING).all()
        assert source[row, 7] == special.end
        assert (source[row, 8:] == PADDING).all()


def test_a_decoder_only_model_predicts_the_target_after_the_separator(root: Path) -> None:
    spec, prepared = ready(root, "pairs", "decoder")
    ids, targets = objectives.build_training(spec, prepared).rows(0, 0, 8)
    separator = special_tokens("bytes").separator
    for row in range(8):
        [position] = np.flatnonzero(ids[row] == separator)
        assert (targets[row, :position] == IGNORED).all()
        a, b = ByteTokenizer().decode(ids[row, :position]).split(" and ")
        assert ByteTokenizer().decode(targets[row, position:]) == f"{WORDS[int(a)]} {WORDS[int(b)]}"


def test_long_pairs_are_truncated_to_the_context_and_lose_their_end_token(tmp_path: Path) -> None:
    rows = [{"source": chr(97 + n) * 90, "target": chr(65 + n) * 60} for n in range(8)]
    (tmp_path / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for family, kept in (("encoder-decoder", 24), ("decoder", 13)):
        spec, prepared = ready(tmp_path, "pairs", family)
        source = objectives.build_training(spec, prepared)
        _, targets = source.rows(0, 0, 8)
        assert ((targets != IGNORED).sum(1) == kept).all()
        assert not (targets == special_tokens("bytes").end).any()
        assert source.correction(0) == pytest.approx(24 / kept)


def test_a_class_is_numbered_by_the_sorted_names(root: Path) -> None:
    spec, prepared = ready(root, "classes", "encoder")
    ids, targets = objectives.build_training(spec, prepared).rows(0, 0, 8)
    assert prepared.meta["classes"] == ["even", "odd"]
    for row in range(8):
        assert int(ByteTokenizer().decode(ids[row, 1:]).split()[1]) % 2 == targets[row]


def test_a_corpus_with_more_classes_than_the_model_is_refused(root: Path) -> None:
    (root / "labels.jsonl").write_text(
        "".join(f"{json.dumps({'text': f'n {n}', 'label': str(n % 3)})}\n" for n in range(60))
    )
    spec, prepared = ready(root, "classes", "encoder")
    with pytest.raises(SpecError, match=r"3 classes; model\.classes is 2") as caught:
        objectives.refuse_unfit(spec, prepared)
    assert caught.value.problems[0].fix == {"model.classes": 3}


def test_a_part_without_an_example_is_refused(root: Path) -> None:
    (root / "labels.jsonl").write_text(json.dumps({"text": "one", "label": "only"}))
    spec, prepared = ready(root, "classes", "encoder")
    with pytest.raises(SpecError, match=r"part of the corpus has no example\. Add examples"):
        objectives.refuse_unfit(spec, prepared)


@pytest.mark.parametrize(("objective", "family"), EVERY)
def test_a_full_batch_has_each_sequence_once_in_any_layout(root: Path, objective: str, family: str) -> None:
    """Twelve random layouts: micro-batches up to twice the whole part, one to five data ranks."""
    rng = np.random.default_rng(31)
    spec, prepared = ready(root, objective, family)
    count = full_batch.count_sequences(spec, prepared)
    expected, weight = None, rng.random(2**20)
    for _ in range(12):
        batch = {
            "full_batch": True,
            "micro_batch_size": min(4096, int(rng.choice([1, 2, 7, 16, count, 2 * count]))),
        }
        ranks = int(rng.integers(1, 6))
        layout = parse(spec.model_dump() | {"batch": batch, "parallel": {"data": ranks}})
        whole = full_batch.use_full_batch(layout, prepared)
        size = whole.batch.global_batch_size
        assert size % (batch["micro_batch_size"] * ranks) == 0 and 0 <= size - count < size
        source = full_batch.FullBatch(objectives.build_training(whole, prepared), count, size)
        targets = np.concatenate(
            [
                source.rows(3, at, at + size // ranks)[1].reshape(size // ranks, -1)
                for at in range(0, size, size // ranks)
            ]
        )
        real = targets != IGNORED
        assert not real[count:].any() and real[:count].any(axis=1).all()
        kept = sorted(map(tuple, targets[:count].tolist()))
        # Any value of a target, as its mean over all slots times the correction: what the loss computes.
        mean = np.where(real, weight[targets], 0.0).mean() * source.correction(3)
        expected = expected or (kept, mean)
        assert kept == expected[0]
        assert mean == pytest.approx(expected[1], rel=1e-12)


def test_examples_with_one_source_go_to_one_part_and_duplicates_are_dropped(root: Path) -> None:
    rows = [{"source": f"s {n % 30}", "target": f"t {n % 60}"} for n in range(240)]
    (root / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    _, prepared = ready(root, "pairs", "encoder-decoder")
    sides = [
        {bytes(part.sources[n].astype(np.uint8)) for n in range(len(part))}
        for part in (prepared.train, prepared.validation)
    ]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 6
    assert len(prepared.train) + len(prepared.validation) == 60


def test_token_dropout_masks_inputs_only(root: Path) -> None:
    for objective, family in EVERY:
        spec, prepared = ready(root, objective, family, token_dropout=0.3)
        plain = parse(spec.model_dump() | {"data": spec.data.model_dump() | {"token_dropout": 0}})
        without = arrays(objectives.build_training(plain, prepared).rows(2, 0, 8))
        *inputs, targets = arrays(objectives.build_training(spec, prepared).rows(2, 0, 8))
        assert (targets == without[-1]).all()
        special = special_tokens("bytes")
        for masked, whole in zip(inputs, without[:-1], strict=True):
            changed = masked != whole
            assert (masked[changed] == special.mask).all()
            assert not np.isin(whole[changed], (PADDING, special.begin, special.separator, special.end)).any()
            usual = ~np.isin(whole, (PADDING, special.begin, special.separator, special.end, special.mask))
            assert changed[usual].mean() == pytest.approx(0.3, abs=0.12)

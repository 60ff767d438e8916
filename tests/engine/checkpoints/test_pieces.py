"""Stretches of parts, written by ranks of one layout, are read as any stretch of any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.checkpoints import tensors
from engine.checkpoints.cut import Cut, joined, part_of, part_shape, whole_shape
from engine.checkpoints.pieces import WEIGHT, Pieces, key_of, rank_file
from engine.checkpoints.tensors import BadFile, TensorFile

FUSED = Cut(0, (4, 2, 2))  # query, key and value of grouped heads
ROWS = Cut(1, (6,))


def matrix(rows: int, columns: int) -> np.ndarray:
    return np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)


def save(folder: Path, whole: np.ndarray, cut: Cut | None, parts: int, shares: int) -> None:
    """As `parts` tensor ranks with `shares` data ranks each would write it."""
    table = {"0.it": {"shape": whole.shape, "cut": cut.to_json() if cut else None}}
    for part in range(parts if cut else 1):
        flat = part_of(whole, cut, part, parts).reshape(-1)
        for share in range(shares):
            first, last = len(flat) * share // shares, len(flat) * (share + 1) // shares
            key = key_of(WEIGHT, "0.it", part, first)
            path = folder / rank_file(part * shares + share)
            tensors.write(path, {key: flat[first:last]}, {"own": json.dumps({"parameters": table})})


def test_a_fused_matrix_is_cut_section_by_section() -> None:
    whole = matrix(8, 1)
    assert part_of(whole, FUSED, 0, 2).ravel().tolist() == [0, 1, 4, 6]
    assert part_of(whole, FUSED, 1, 2).ravel().tolist() == [2, 3, 5, 7]
    assert part_shape((8, 1), FUSED, 2) == (4, 1)
    assert whole_shape((4, 1), FUSED) == (8, 1)
    assert whole_shape((3, 5), None) == part_shape((3, 5), None, 2) == (3, 5)


@pytest.mark.parametrize("cut", [FUSED, ROWS])
def test_parts_make_the_whole_again(cut: Cut) -> None:
    whole = matrix(8, 6)
    assert np.array_equal(joined([part_of(whole, cut, index, 2) for index in range(2)], cut), whole)


@pytest.mark.parametrize(("cut", "parts"), [(None, 1), (FUSED, 2), (ROWS, 2), (ROWS, 3)])
@pytest.mark.parametrize("shares", [1, 3])
def test_any_layout_reads_what_any_other_wrote(
    cut: Cut | None, parts: int, shares: int, tmp_path: Path
) -> None:
    whole = matrix(8, 6)
    save(tmp_path, whole, cut, parts, shares)
    pieces = Pieces(tmp_path)
    assert np.array_equal(pieces.whole(WEIGHT, "0.it"), whole)
    for wanted in (1, 2):
        for index in range(wanted):
            expected = part_of(whole, cut, index, wanted).reshape(-1)
            found = pieces.part(WEIGHT, "0.it", index, wanted, 2, 11)
            assert np.array_equal(found, expected[2:11])


def test_a_stretch_that_no_file_holds_is_an_error_and_not_zeros(tmp_path: Path) -> None:
    save(tmp_path, matrix(8, 6), None, 1, 2)
    (tmp_path / rank_file(1)).unlink()
    with pytest.raises(AssertionError, match=r"elements 24 to 48 of part 0 are in no file"):
        Pieces(tmp_path).whole(WEIGHT, "0.it")


def test_a_cut_file_is_told_from_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    tensors.write(path, {"a": matrix(3, 4)}, {})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BadFile, match="is cut short"):
        TensorFile(path)
    path.write_bytes(b"not a file of tensors at all")
    with pytest.raises(BadFile, match="is not a safetensors file"):
        TensorFile(path)

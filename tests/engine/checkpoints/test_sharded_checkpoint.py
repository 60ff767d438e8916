"""Sharded checkpoints: written in one layout, read in any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.checkpoints import tensors
from engine.checkpoints.sharded_checkpoint import WEIGHT, ShardedCheckpoint, rank_file_name, shard_key
from engine.checkpoints.tensor_split import TensorSplit, extract_part, join_parts, join_shape, split_shape
from engine.checkpoints.tensors import TensorFile, TensorFileError

FUSED = TensorSplit(0, (4, 2, 2))  # query, key and value of grouped heads
ROWS = TensorSplit(1, (6,))


def matrix(rows: int, columns: int) -> np.ndarray:
    return np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)


def save(folder: Path, whole: np.ndarray, split: TensorSplit | None, parts: int, shares: int) -> None:
    """Write the files that `parts` tensor ranks with `shares` data ranks each would write."""
    table = {"0.it": {"shape": whole.shape, "cut": split.to_json() if split else None}}
    own = {"parameters": table, "scalars": {}, "loss_scale": {}, "skipped_steps": 0}
    for part in range(parts if split else 1):
        flat = extract_part(whole, split, part, parts).reshape(-1)
        for share in range(shares):
            first, last = len(flat) * share // shares, len(flat) * (share + 1) // shares
            key = shard_key(WEIGHT, "0.it", part, first)
            path = folder / rank_file_name(part * shares + share)
            tensors.write_tensors(path, {key: flat[first:last]}, {"own": json.dumps(own)})


def test_a_fused_matrix_is_split_section_by_section() -> None:
    whole = matrix(8, 1)
    assert extract_part(whole, FUSED, 0, 2).ravel().tolist() == [0, 1, 4, 6]
    assert extract_part(whole, FUSED, 1, 2).ravel().tolist() == [2, 3, 5, 7]
    assert split_shape((8, 1), FUSED, 2) == (4, 1)
    assert join_shape((4, 1), FUSED) == (8, 1)
    assert join_shape((3, 5), None) == split_shape((3, 5), None, 2) == (3, 5)


@pytest.mark.parametrize("split", [FUSED, ROWS])
def test_joined_parts_equal_the_whole(split: TensorSplit) -> None:
    whole = matrix(8, 6)
    assert np.array_equal(
        join_parts([extract_part(whole, split, index, 2) for index in range(2)], split), whole
    )


@pytest.mark.parametrize(("split", "parts"), [(None, 1), (FUSED, 2), (ROWS, 2), (ROWS, 3)])
@pytest.mark.parametrize("shares", [1, 3])
def test_any_layout_reads_the_files_of_any_other(
    split: TensorSplit | None, parts: int, shares: int, tmp_path: Path
) -> None:
    whole = matrix(8, 6)
    save(tmp_path, whole, split, parts, shares)
    checkpoint = ShardedCheckpoint(tmp_path)
    assert np.array_equal(checkpoint.whole(WEIGHT, "0.it"), whole)
    for wanted in (1, 2):
        for index in range(wanted):
            expected = extract_part(whole, split, index, wanted).reshape(-1)
            found = checkpoint.part(WEIGHT, "0.it", index, wanted, 2, 11)
            assert np.array_equal(found, expected[2:11])


def test_a_range_that_no_file_contains_is_an_error_and_not_zeros(tmp_path: Path) -> None:
    save(tmp_path, matrix(8, 6), None, 1, 2)
    (tmp_path / rank_file_name(1)).unlink()
    with pytest.raises(TensorFileError, match=r"part 0 has 24 elements instead of 48"):
        ShardedCheckpoint(tmp_path).whole(WEIGHT, "0.it")


def test_truncated_and_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    tensors.write_tensors(path, {"a": matrix(3, 4)}, {})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TensorFileError, match="is truncated"):
        TensorFile(path)
    path.write_bytes(b"not a file of tensors at all")
    with pytest.raises(TensorFileError, match="is not a safetensors file"):
        TensorFile(path)

"""Sharded checkpoint: each rank writes its shards, any layout reads them.

The file of a rank contains 1-D tensors with keys kind|parameter|part|start:

    kind        `weight` (fp32 in every run) or a key of the optimiser state (`exp_avg`, ...)
    parameter   number of the layer and name in the layer: 3.attention.output.weight, the same in every layout
    part        number of the tensor-parallel part of the parameter, from 0
    start       offset of the shard in the flattened part

A save gathers nothing and writes each number once over all ranks. A load with another layout reads other ranges of
the shards. The header entry `own` holds the other state of the rank in JSON (engine.rank.checkpoint.state).
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints.tensor_split import TensorSplit, extract_part, join_parts, split_shape
from engine.checkpoints.tensors import TensorFile

Array = np.ndarray[Any, Any]

WEIGHT = "weight"
RANDOM_STATE = "random"  # random states of one rank, as bytes


def shard_key(kind: str, name: str, part: int, start: int) -> str:
    return f"{kind}|{name}|{part}|{start}"


def rank_file_name(rank: int) -> str:
    return f"rank{rank}.safetensors"


@dataclass(frozen=True)
class SavedParameter:
    """A parameter independent of the layout: its whole shape and its split."""

    shape: tuple[int, ...]
    split: TensorSplit | None


class ShardedCheckpoint:
    """The files of all ranks of one checkpoint, read as whole parameters or as any range of a part."""

    def __init__(self, folder: Path) -> None:
        """Raises TensorFileError, OSError."""
        self.files = {
            path.name: TensorFile(path)
            for path in sorted(folder.glob("rank*.safetensors"), key=lambda p: (len(p.name), p.name))
        }
        self.own = {name: json.loads(file.metadata["own"]) for name, file in self.files.items()}
        self.parameters: dict[str, SavedParameter] = {}
        for own in self.own.values():
            for name, entry in own["parameters"].items():
                self.parameters[name] = SavedParameter(
                    tuple(entry["shape"]), TensorSplit.from_json(entry["cut"])
                )
        # (kind, name) -> part -> shards in order of their start
        self._shards: dict[tuple[str, str], dict[int, list[tuple[int, int, TensorFile, str]]]] = {}
        found: Any = defaultdict(lambda: defaultdict(list))
        for file in self.files.values():
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                kind, *rest = key.split("|")
                if kind != RANDOM_STATE:
                    name, part, start = rest
                    shard = (int(start), int(start) + file.shape(key)[0], file, key)
                    found[kind, name][int(part)].append(shard)
        for key_pair, parts in found.items():
            self._shards[key_pair] = {
                part: sorted(found, key=lambda s: s[0]) for part, found in sorted(parts.items())
            }

    def kinds(self, name: str) -> list[str]:
        """Return what is saved of a parameter: `weight` and the keys of its optimiser state."""
        return sorted(kind for kind, saved_name in self._shards if saved_name == name)

    def whole(self, kind: str, name: str) -> Array:
        """Return the values of a whole parameter in its shape."""
        parameter, parts = self.parameters[name], self._shards[kind, name]
        shape = split_shape(parameter.shape, parameter.split, len(parts))
        size = int(np.prod(shape))
        return join_parts(
            [self._read_range(kind, name, part, 0, size).reshape(shape) for part in parts], parameter.split
        )

    def part(self, kind: str, name: str, index: int, parts: int, start: int, stop: int) -> Array:
        """Return elements start..stop of the flattened part `index` of `parts`.

        Reads them directly if the parameter was saved in as many parts, else from the whole parameter.
        """
        split, saved = self.parameters[name].split, self._shards[kind, name]
        if split is None or len(saved) == parts:
            return self._read_range(kind, name, 0 if split is None else index, start, stop)
        return extract_part(self.whole(kind, name), split, index, parts).reshape(-1)[start:stop]

    def _read_range(self, kind: str, name: str, part: int, start: int, stop: int) -> Array:
        arrays, at = [], start
        for begin, end, file, key in self._shards[kind, name][part]:
            if at < stop and begin <= at < end:
                last = min(end, stop)
                arrays.append(file.read(key, at - begin, last - begin).reshape(-1))
                at = last
        assert at == stop, f"{kind} of {name}: elements {at} to {stop} of part {part} are in no file"
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)

"""Adapters of a checkpoint or a folder, merged into the weights of their base."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engine.checkpoints.checksums import compute_fields_checksum, compute_file_checksum
from engine.checkpoints.folder import MANIFEST, ResumeError, read_manifest
from engine.checkpoints.sharded_checkpoint import WEIGHT, ShardedCheckpoint
from engine.spec.adapters import FUSED, HEAD, adapted_matrices
from engine.spec.spec import Spec

Array = np.ndarray[Any, Any]
Whole = Callable[[str], Array]

PARAMETER = re.compile(r"(\d+)\.(?:(.+)\.)?adapter\.(\w+)\.lora_([AB])")


class AdapterKey(NamedTuple):
    """One adapter: the layer, the name of its matrix in the layer, and the part of the output that it adds to."""

    layer: int
    matrix: str
    part: str

    @property
    def weight(self) -> str:
        """The name of the frozen weight."""
        return f"{self.layer}.weight" if self.matrix == HEAD else f"{self.layer}.{self.matrix}.weight"

    def parameter(self, letter: str) -> str:
        stem = f"{self.layer}" if self.matrix == HEAD else f"{self.layer}.{self.matrix}"
        return f"{stem}.adapter.{self.part}.lora_{letter}"


class LowRankPair(NamedTuple):
    """A [rank, in] and B [out, rank] in fp32. The weight changes by scale x B A."""

    a: Array
    b: Array
    scale: float

    @property
    def change(self) -> Array:
        return np.float32(self.scale) * (self.b @ self.a)


@dataclass(frozen=True)
class AdapterSet:
    """All adapters of one source, read on request."""

    scales: Mapping[AdapterKey, tuple[int, float]]  # rank and alpha / rank of each
    read: Callable[[AdapterKey], LowRankPair] = field(repr=False)

    def continues_in(self, spec: Spec) -> bool:
        """Whether a run of `spec` has exactly these adapters, so that it can go on with them."""
        chosen = spec.adapter
        wanted = {
            AdapterKey(matrix.layer, matrix.name, part): (chosen.rank, chosen.alpha / chosen.rank)
            for matrix in adapted_matrices(spec)
            for part in matrix.parts
        }
        return wanted.keys() == self.scales.keys() and all(
            rank == wanted[key][0] and abs(scale - wanted[key][1]) <= 1e-6 * scale
            for key, (rank, scale) in self.scales.items()
        )

    def parameter(self, name: str) -> Array:
        """Return A or B by the name of the parameter."""
        found = parse_parameter(name)
        assert found is not None, name
        key, letter = found
        pair = self.read(key)
        return pair.a if letter == "A" else pair.b

    def merge_into(self, whole: Whole) -> Whole:
        """Return a reader of the base's weights with the changes added."""
        by_weight: dict[str, list[AdapterKey]] = defaultdict(list)
        for key in self.scales:
            by_weight[key.weight].append(key)

        def read(name: str) -> Array:
            values = whole(name)
            return (
                values + _join_changes(by_weight[name], self.read, len(values))
                if name in by_weight
                else values
            )

        return read


def parse_parameter(name: str) -> tuple[AdapterKey, str] | None:
    """Return the adapter of a parameter and the letter of its matrix; None for other parameters."""
    match = PARAMETER.fullmatch(name)
    if match is None:
        return None
    layer, matrix, part, letter = match.groups()
    return AdapterKey(int(layer), matrix or HEAD, part), letter


def adapters_of_checkpoint(spec: Spec, shards: ShardedCheckpoint) -> AdapterSet:
    chosen = spec.adapter
    scale = chosen.alpha / chosen.rank
    keys = dict.fromkeys(found[0] for name in shards.parameters if (found := parse_parameter(name)))

    def read(key: AdapterKey) -> LowRankPair:
        a, b = (shards.whole(WEIGHT, key.parameter(letter)) for letter in "AB")
        return LowRankPair(a, b, scale)

    return AdapterSet(dict.fromkeys(keys, (chosen.rank, scale)), read)


def part_sizes(leaf: str, rows: int, known: Mapping[str, int]) -> dict[str, int]:
    """Return the output rows of each part of a fused matrix, from the rows of some: keys are as many as values."""
    names = FUSED[leaf]
    if len(names) == 2:
        return dict.fromkeys(names, rows // 2)
    query = known["query"] if "query" in known else rows - 2 * next(iter(known.values()))
    return {"query": query, "key": (rows - query) // 2, "value": (rows - query) // 2}


def _join_changes(keys: list[AdapterKey], read: Callable[[AdapterKey], LowRankPair], rows: int) -> Array:
    pairs = {key.part: read(key) for key in keys}
    leaf = keys[0].matrix.rpartition(".")[2]
    if leaf not in FUSED or leaf in pairs:
        return next(iter(pairs.values())).change
    inputs = next(iter(pairs.values())).a.shape[1]
    sizes = part_sizes(leaf, rows, {part: len(pair.b) for part, pair in pairs.items()})
    return np.concatenate([
        pairs[part].change if part in pairs else np.zeros((size, inputs), np.float32)
        for part, size in sizes.items()
    ])  # fmt: skip


def fingerprint(folder: Path, report_progress: Callable[[], None] = lambda: None) -> str:
    """Return a checksum of all weights in a checkpoint or a Hugging Face folder. Raises ResumeError, OSError.

    A manifest has the checksums of its files; the files of other folders are read.
    """
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        if "checksum" in manifest:
            return str(manifest["checksum"])
    files = list(_weight_files(folder))
    if not files:
        raise ResumeError(f"The folder {folder.name} has no weights.")
    return compute_fields_checksum(
        {path.name: compute_file_checksum(path, report_progress) for path in files}
    )


def _weight_files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("*.safetensors"))
    if (folder / "config.json").is_file():
        yield folder / "config.json"

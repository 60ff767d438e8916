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

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from engine.checkpoints.tensor_split import TensorSplit, extract_part, join_parts, split_shape
from engine.checkpoints.tensors import DTYPES, TensorFile, TensorFileError

Array = np.ndarray[Any, Any]

Size = Annotated[int, msgspec.Meta(ge=0)]

WEIGHT = "weight"
RANDOM_STATE = "random"  # random states of one rank, as bytes
CPU_RANDOM_STATE = f"{RANDOM_STATE}|cpu"


def shard_key(kind: str, name: str, part: int, start: int) -> str:
    return f"{kind}|{name}|{part}|{start}"


def rank_file_name(rank: int) -> str:
    return f"rank{rank}.safetensors"


class TableEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whole shape and split of one parameter in the header of a rank's file."""

    shape: tuple[Size, ...]
    cut: TensorSplit | None


class RankOwnState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The header entry `own` of a rank's file: its parameters, and state that is no tensor."""

    parameters: dict[str, TableEntry]
    scalars: dict[str, float]  # optimiser state that is one value for all parameters: the step count
    loss_scale: dict[str, int | float]
    skipped_steps: int
    shapes: dict[str, tuple[Size, ...]] = {}  # kind|parameter -> shape of state with another shape
    micro_offset: int | None = None


Shard = tuple[int, int, TensorFile, str]  # first and last element, file, key


class ShardedCheckpoint:
    """The files of all ranks of one checkpoint, read as whole parameters or as any range of a part."""

    def __init__(self, folder: Path, names: Iterable[str] | None = None) -> None:
        """Open the rank files of the folder, or those with the given names, and check that nothing is missing.

        Reads headers alone. Raises TensorFileError, OSError.
        """
        paths = folder.glob("rank*.safetensors") if names is None else (folder / name for name in names)
        self.files = {
            path.name: TensorFile(path) for path in sorted(paths, key=lambda p: (len(p.name), p.name))
        }
        self.own = {name: _read_own_state(file) for name, file in self.files.items()}
        self.parameters: dict[str, TableEntry] = {}
        for name, own in self.own.items():
            for parameter, entry in own.parameters.items():
                if self.parameters.setdefault(parameter, entry) != entry:
                    raise TensorFileError(
                        f"{name} has another shape of {parameter} than the files of other ranks."
                    )
        # (kind, name) -> part -> shards in order of their start
        self._shards: dict[tuple[str, str], dict[int, list[Shard]]] = {}
        found: Any = defaultdict(lambda: defaultdict(list))
        for file in self.files.values():
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                if not key.startswith(f"{RANDOM_STATE}|"):
                    kind, name, part, start, length = _parse_key(file, key)
                    found[kind, name][part].append((start, start + length, file, key))
        for key_pair, parts in found.items():
            self._shards[key_pair] = {
                part: sorted(found, key=lambda s: s[:2]) for part, found in sorted(parts.items())
            }
        self._check_complete()

    def _check_complete(self) -> None:
        """Raise TensorFileError unless every parameter has weights, and all that is saved of it has no gap."""
        for name in self.parameters:
            if (WEIGHT, name) not in self._shards:
                raise TensorFileError(f"the weights of {name} are in no file.")
        shapes = {key: shape for own in self.own.values() for key, shape in own.shapes.items()}
        for (kind, name), parts in self._shards.items():
            if name not in self.parameters:
                raise TensorFileError(f"the files have {kind} of {name}, which is no parameter of the model.")
            if (shape := shapes.get(f"{kind}|{name}")) is not None:
                _check_parts(f"{kind} of {name}", parts, 1, math.prod(shape))
                continue
            parameter = self.parameters[name]
            num_parts = len(parts) if parameter.cut else 1
            if parameter.cut and any(size % num_parts for size in parameter.cut.sections):
                raise TensorFileError(f"{kind} of {name} cannot have {num_parts} parts.")
            size = math.prod(split_shape(parameter.shape, parameter.cut, num_parts))
            _check_parts(f"{kind} of {name}", parts, num_parts, size)

    def kinds(self, name: str) -> list[str]:
        """Return what is saved of a parameter: `weight` and the keys of its optimiser state."""
        return sorted(kind for kind, saved_name in self._shards if saved_name == name)

    def whole(self, kind: str, name: str) -> Array:
        """Return the values of a whole parameter in its shape."""
        parameter, parts = self.parameters[name], self._shards[kind, name]
        shape = split_shape(parameter.shape, parameter.cut, len(parts))
        size = math.prod(shape)
        return join_parts(
            [self._read_range(kind, name, part, 0, size).reshape(shape) for part in parts], parameter.cut
        )

    def part(self, kind: str, name: str, index: int, parts: int, start: int, stop: int) -> Array:
        """Return elements start..stop of the flattened part `index` of `parts`.

        Reads them directly if the parameter was saved in as many parts, else from the whole parameter.
        """
        split, saved = self.parameters[name].cut, self._shards[kind, name]
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
        if at != stop:
            raise TensorFileError(f"{kind} of {name}: elements {at} to {stop} of part {part} are in no file.")
        return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _read_own_state(file: TensorFile) -> RankOwnState:
    """Raises TensorFileError."""
    try:
        own = msgspec.json.decode(file.metadata["own"], type=RankOwnState)
    except (KeyError, ValueError, RecursionError) as error:
        reason = "none" if isinstance(error, KeyError) else str(error)
        raise TensorFileError(
            f"{file.path.name} has no usable entry 'own' in its header: {reason}."
        ) from None
    for name, entry in own.parameters.items():
        split, shape = entry.cut, entry.shape
        if split and not (0 <= split.dim < len(shape) and sum(split.sections) == shape[split.dim]):
            raise TensorFileError(f"{file.path.name} has a split of {name} that does not fit its shape.")
    return own


def _parse_key(file: TensorFile, key: str) -> tuple[str, str, int, int, int]:
    """Return kind, parameter, part, start and length of a shard. Raises TensorFileError."""
    words, shape = key.split("|"), file.shape(key)
    if len(words) != 4 or not (words[2].isdecimal() and words[3].isdecimal()) or len(shape) != 1:
        raise TensorFileError(f"{file.path.name} has a tensor {key!a}, which is no shard of a parameter.")
    if file.dtype(key) not in DTYPES:
        raise TensorFileError(f"{file.path.name} has {key!a} in {file.dtype(key)}, which no run saves.")
    return words[0], words[1], int(words[2]), int(words[3]), shape[0]


def _check_parts(title: str, parts: Mapping[int, Sequence[Shard]], num_parts: int, size: int) -> None:
    """Raise TensorFileError unless there are parts 0..num_parts, each with all elements 0..size exactly once."""
    if sorted(parts) != list(range(num_parts)):
        raise TensorFileError(f"{title}: a part is in no file; there are {len(parts)}.")
    for part, shards in parts.items():
        at = 0
        for begin, end, file, _ in shards:
            if begin > at:
                raise TensorFileError(f"{title}: elements {at} to {begin} of part {part} are in no file.")
            if begin < at:
                raise TensorFileError(
                    f"{title}: {file.path.name} repeats elements of part {part} from {begin} on."
                )
            at = end
        if at != size:
            raise TensorFileError(f"{title}: part {part} has {at} elements instead of {size}.")

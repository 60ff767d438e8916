"""The layout-free form: every rank writes the stretches it keeps, and any layout reads what it needs of them.

A rank's file holds 1-D tensors named kind|parameter|part|start:

    kind        `weight` (fp32, whatever the run computes in) or a key of the optimiser's state (`exp_avg`, ...)
    parameter   the layer's number and the name in it: 3.attention.output.weight, the same in every layout
    part        which tensor-parallel part of the parameter, from 0
    start       where in the flattened part the stretch begins

So a save needs no gathering, writes each number once over all ranks, and a load of any other layout is a matter of
reading other stretches. The header's `own` says in JSON what else the rank knows (see engine.rank.checkpoint.state).
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints.cut import Cut, joined, part_of, part_shape
from engine.checkpoints.tensors import TensorFile

Array = np.ndarray[Any, Any]

WEIGHT = "weight"
RANDOM = "random"  # a rank's random states, which are bytes and nobody else's


def key_of(kind: str, name: str, part: int, start: int) -> str:
    return f"{kind}|{name}|{part}|{start}"


def rank_file(rank: int) -> str:
    return f"rank{rank}.safetensors"


@dataclass(frozen=True)
class Parameter:
    """A parameter as it is without any layout."""

    shape: tuple[int, ...]
    cut: Cut | None


class Pieces:
    """All ranks' files of one checkpoint, read as whole parameters or as any stretch of any part."""

    def __init__(self, folder: Path) -> None:
        """Raises BadFile, OSError."""
        self.files = {
            path.name: TensorFile(path)
            for path in sorted(folder.glob("rank*.safetensors"), key=lambda p: (len(p.name), p.name))
        }
        self.own = {name: json.loads(file.metadata["own"]) for name, file in self.files.items()}
        self.parameters: dict[str, Parameter] = {}
        for own in self.own.values():
            for name, entry in own["parameters"].items():
                self.parameters[name] = Parameter(tuple(entry["shape"]), Cut.from_json(entry["cut"]))
        # (kind, name) -> part -> stretches by their start
        self._found: dict[tuple[str, str], dict[int, list[tuple[int, int, TensorFile, str]]]] = {}
        found: Any = defaultdict(lambda: defaultdict(list))
        for file in self.files.values():
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                kind, *rest = key.split("|")
                if kind != RANDOM:
                    name, part, start = rest
                    stretch = (int(start), int(start) + file.shape(key)[0], file, key)
                    found[kind, name][int(part)].append(stretch)
        for of, parts in found.items():
            self._found[of] = {
                part: sorted(found, key=lambda s: s[0]) for part, found in sorted(parts.items())
            }

    def kinds(self, name: str) -> list[str]:
        """What is kept of a parameter: `weight`, and its optimiser's state."""
        return sorted(kind for kind, of in self._found if of == name)

    def whole(self, kind: str, name: str) -> Array:
        """In the parameter's shape."""
        parameter, parts = self.parameters[name], self._found[kind, name]
        shape = part_shape(parameter.shape, parameter.cut, len(parts))
        size = int(np.prod(shape))
        return joined(
            [self._stretch(kind, name, part, 0, size).reshape(shape) for part in parts], parameter.cut
        )

    def part(self, kind: str, name: str, index: int, parts: int, start: int, stop: int) -> Array:
        """Elements start..stop of the flattened part `index` of `parts`: read directly where the parameter was kept in
        as many parts, else by way of the whole."""
        cut, kept = self.parameters[name].cut, self._found[kind, name]
        if cut is None or len(kept) == parts:
            return self._stretch(kind, name, 0 if cut is None else index, start, stop)
        return part_of(self.whole(kind, name), cut, index, parts).reshape(-1)[start:stop]

    def _stretch(self, kind: str, name: str, part: int, start: int, stop: int) -> Array:
        pieces, at = [], start
        for begin, end, file, key in self._found[kind, name][part]:
            if at < stop and begin <= at < end:
                last = min(end, stop)
                pieces.append(file.read(key, at - begin, last - begin).reshape(-1))
                at = last
        assert at == stop, f"{kind} of {name}: elements {at} to {stop} of part {part} are in no file"
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

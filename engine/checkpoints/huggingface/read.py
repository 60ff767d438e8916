"""A folder that `transformers` has written, read as the weights of a model here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints.folder import TOKENIZER
from engine.checkpoints.huggingface.shapes import Entry, Shape, ShapeError, shape_in
from engine.checkpoints.tensors import BadFile, TensorFile
from engine.spec.parts import Model

Array = np.ndarray[Any, Any]

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class Folder:
    """Its model as fields of a spec, its tokenizer, and its weights under our names."""

    def __init__(self, path: Path) -> None:
        """Raises ShapeError with what stands against the folder."""
        self.path = path
        config = _json(path / "config.json")
        self.shape: Shape
        self.shape, fields = shape_in(config)
        self.fields: dict[str, Any] = fields
        self.vocab_size = int(config["vocab_size"])
        if not (path / TOKENIZER).is_file():
            raise ShapeError(f"it has no {TOKENIZER}")
        said = path / "tokenizer_config.json"
        self.tokenizer = (_json(said) if said.is_file() else {}).get("fourwalls_tokenizer", "bpe")
        self._files = self._open(path)
        self._entries = {entry.ours: entry for entry in self.shape.entries(Model(**fields))}
        for entry in self._entries.values():
            for name in entry.theirs:
                self._found(name)

    def names(self) -> list[str]:
        return list(self._entries)

    def whole(self, name: str) -> Array:
        """One of our parameters, in fp32."""
        entry: Entry = self._entries[name]
        parts = [self._found(theirs).read(self._key(theirs)) for theirs in entry.theirs]
        whole = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return np.ascontiguousarray(whole.T if entry.is_transposed else whole, dtype=np.float32)

    def _open(self, path: Path) -> dict[str, TensorFile]:
        """Name of a tensor -> the file that holds it."""
        try:
            if (path / INDEX).is_file():
                placed = _json(path / INDEX)["weight_map"]
                files = {name: TensorFile(path / name) for name in set(placed.values())}
                return {name: files[place] for name, place in placed.items()}
            if not (path / SINGLE).is_file():
                raise ShapeError(f"it has no {SINGLE}; other formats of weights are not read here")
            file = TensorFile(path / SINGLE)
            return dict.fromkeys(file.keys(), file)
        except (BadFile, OSError, KeyError) as error:
            raise ShapeError(f"its weights cannot be read: {error}") from None

    def _key(self, theirs: str) -> str:
        """As the folder has it: a bare model leaves the prefix out."""
        return theirs if theirs in self._files else theirs.removeprefix(self.shape.prefix)

    def _found(self, theirs: str) -> TensorFile:
        try:
            return self._files[self._key(theirs)]
        except KeyError:
            raise ShapeError(f"it has no tensor {theirs}") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ShapeError(f"it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise ShapeError(f"its {path.name} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ShapeError(f"its {path.name} is no JSON object")
    return values

"""Reader of a Hugging Face folder as weights of a model here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from engine.checkpoints.folder import TOKENIZER
from engine.checkpoints.huggingface.architectures import (
    ArchitectureError,
    Family,
    build_model,
    read_config,
)
from engine.checkpoints.huggingface.mapping.family import read_size
from engine.checkpoints.huggingface.mapping.weight_mapping import WeightMapping
from engine.checkpoints.tensors import TensorFile, TensorFileError

Array = np.ndarray[Any, Any]

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
FLOATS = ("F32", "BF16", "F16", "F64")


class HuggingFaceFolder:
    """Model of the folder as spec fields, its tokenizer, and its weights under the parameter names here."""

    def __init__(self, path: Path) -> None:
        """Raises ArchitectureError with the reason why the folder is not supported."""
        self.path = path
        config = _read_json(path / "config.json")
        self.family: Family
        self.family, fields = read_config(config)
        self.fields: dict[str, Any] = fields
        self.vocab_size = read_size(config, "vocab_size")
        model = build_model(fields)
        if not (path / TOKENIZER).is_file():
            raise ArchitectureError(f"it has no {TOKENIZER}")
        tokenizer_config = path / "tokenizer_config.json"
        values = _read_json(tokenizer_config) if tokenizer_config.is_file() else {}
        self.tokenizer = values.get("fourwalls_tokenizer", "bpe")
        self._files = self._open(path)
        self._mappings: dict[str, tuple[WeightMapping, int]] = {}
        for mapping in self.family.mappings(model, self.vocab_size):
            self._mappings |= {name: (mapping, index) for index, name in enumerate(mapping.names)}
            for name, shape in zip(mapping.hf_names, mapping.hf_shapes(), strict=True):
                self._check_tensor(name, shape)

    def names(self) -> list[str]:
        return list(self._mappings)

    def whole(self, name: str) -> Array:
        """Return the values of one parameter, by its name here, in fp32."""
        mapping, index = self._mappings[name]
        parts = [self._file_with(hf_name).read(self._tensor_name(hf_name)) for hf_name in mapping.hf_names]
        return mapping.from_hf(parts, index)

    def _open(self, path: Path) -> dict[str, TensorFile]:
        """Return tensor name -> file that contains it."""
        try:
            if (path / INDEX).is_file():
                weight_map = _read_weight_map(path / INDEX)
                files = {name: TensorFile(path / name) for name in sorted(set(weight_map.values()))}
                return {name: files[file_name] for name, file_name in weight_map.items()}
            if not (path / SINGLE).is_file():
                raise ArchitectureError(f"it has no {SINGLE}, the only supported format of weights")
            file = TensorFile(path / SINGLE)
            return dict.fromkeys(file.keys(), file)
        except (TensorFileError, OSError) as error:
            raise ArchitectureError(f"its weights cannot be read: {error}") from None

    def _check_tensor(self, hf_name: str, shape: tuple[int, ...]) -> None:
        """Raise ArchitectureError unless the folder has the tensor, as floating-point numbers in this shape."""
        file, name = self._file_with(hf_name), self._tensor_name(hf_name)
        if name not in file.keys():  # noqa: SIM118 - not a dictionary
            raise ArchitectureError(
                f"its {INDEX} has {hf_name} in {file.path.name}, which does not contain it"
            )
        if file.shape(name) != shape:
            found, wanted = (" x ".join(map(str, one)) or "one value" for one in (file.shape(name), shape))
            raise ArchitectureError(
                f"its tensor {hf_name} is {found} instead of {wanted}, the sizes in config.json"
            )
        if file.dtype(name) not in FLOATS:
            raise ArchitectureError(
                f"its tensor {hf_name} is in {file.dtype(name)[:20]!a}; the supported types are {', '.join(FLOATS)}"
            )

    def _tensor_name(self, hf_name: str) -> str:
        """Return the tensor's name in the folder; a folder of the bare model leaves the prefix out, and older folders
        have other names."""
        for old in ("", *self.family.renamed):
            name = hf_name.replace(*old) if old else hf_name
            for found in (name, name.removeprefix(self.family.prefix)):
                if found in self._files:
                    return found
        return hf_name

    def _file_with(self, hf_name: str) -> TensorFile:
        try:
            return self._files[self._tensor_name(hf_name)]
        except KeyError:
            raise ArchitectureError(f"it has no tensor {hf_name}") from None


def _read_weight_map(path: Path) -> dict[str, str]:
    """Return tensor name -> name of its file, which lies in the same folder. Raises ArchitectureError."""
    try:
        weight_map = msgspec.convert(_read_json(path).get("weight_map"), dict[str, str])
    except msgspec.ValidationError as error:
        raise ArchitectureError(f"its {path.name} has no usable weight_map: {error}") from None
    for name in weight_map.values():
        if Path(name).name != name or not name or "\0" in name:
            raise ArchitectureError(
                f"its {path.name} names the file {name[:100]!a}, which is not in the folder"
            )
    return weight_map


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes(), object_pairs_hook=_unique_fields)
    except FileNotFoundError:
        raise ArchitectureError(f"it has no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ArchitectureError(f"its {path.name} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ArchitectureError(f"its {path.name} is not a JSON object")
    return values


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a field occurs twice")
    return values

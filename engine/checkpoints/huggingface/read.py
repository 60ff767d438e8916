"""Reader of a Hugging Face folder as weights of a model here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints.folder import TOKENIZER
from engine.checkpoints.huggingface.architectures import (
    Architecture,
    ArchitectureError,
    WeightMapping,
    read_config,
)
from engine.checkpoints.tensors import TensorFile, TensorFileError
from engine.spec.parts import Model

Array = np.ndarray[Any, Any]

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


class HuggingFaceFolder:
    """Model of the folder as spec fields, its tokenizer, and its weights under the parameter names here."""

    def __init__(self, path: Path) -> None:
        """Raises ArchitectureError with the reason why the folder is not supported."""
        self.path = path
        config = _read_json(path / "config.json")
        self.architecture: Architecture
        self.architecture, fields = read_config(config)
        self.fields: dict[str, Any] = fields
        self.vocab_size = int(config["vocab_size"])
        if not (path / TOKENIZER).is_file():
            raise ArchitectureError(f"it has no {TOKENIZER}")
        tokenizer_config = path / "tokenizer_config.json"
        values = _read_json(tokenizer_config) if tokenizer_config.is_file() else {}
        self.tokenizer = values.get("fourwalls_tokenizer", "bpe")
        self._files = self._open(path)
        self._mappings = {mapping.name: mapping for mapping in self.architecture.mappings(Model(**fields))}
        for mapping in self._mappings.values():
            for name in mapping.hf_names:
                self._file_with(name)

    def names(self) -> list[str]:
        return list(self._mappings)

    def whole(self, name: str) -> Array:
        """Return the values of one parameter, by its name here, in fp32."""
        mapping: WeightMapping = self._mappings[name]
        parts = [self._file_with(hf_name).read(self._tensor_name(hf_name)) for hf_name in mapping.hf_names]
        whole = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return np.ascontiguousarray(whole.T if mapping.is_transposed else whole, dtype=np.float32)

    def _open(self, path: Path) -> dict[str, TensorFile]:
        """Return tensor name -> file that contains it."""
        try:
            if (path / INDEX).is_file():
                weight_map = _read_json(path / INDEX)["weight_map"]
                files = {name: TensorFile(path / name) for name in set(weight_map.values())}
                return {name: files[file_name] for name, file_name in weight_map.items()}
            if not (path / SINGLE).is_file():
                raise ArchitectureError(f"it has no {SINGLE}, the only supported format of weights")
            file = TensorFile(path / SINGLE)
            return dict.fromkeys(file.keys(), file)
        except (TensorFileError, OSError, KeyError) as error:
            raise ArchitectureError(f"its weights cannot be read: {error}") from None

    def _tensor_name(self, hf_name: str) -> str:
        """Return the tensor's name in the folder; a folder of the bare model leaves the prefix out."""
        return hf_name if hf_name in self._files else hf_name.removeprefix(self.architecture.prefix)

    def _file_with(self, hf_name: str) -> TensorFile:
        try:
            return self._files[self._tensor_name(hf_name)]
        except KeyError:
            raise ArchitectureError(f"it has no tensor {hf_name}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ArchitectureError(f"it has no {path.name}") from None
    except (OSError, ValueError) as error:
        raise ArchitectureError(f"its {path.name} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ArchitectureError(f"its {path.name} is not a JSON object")
    return values

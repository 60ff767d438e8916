"""Adapters in the format of Hugging Face's peft, read and written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints import tensors
from engine.checkpoints.adapters import AdapterKey, AdapterSet, LowRankPair
from engine.checkpoints.huggingface.architectures import Architecture, ArchitectureError
from engine.checkpoints.tensors import TensorFile, TensorFileError
from engine.spec.adapters import FUSED, HEAD, list_matrices
from engine.spec.parts import Adapter, Model

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
TENSOR = re.compile(r"(.+)\.lora_([AB])\.weight")
# Fields of adapter_config.json -> the supported values; others than these change what an adapter computes.
SUPPORTED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",), "bias": ("none",), "use_dora": (False,), "lora_bias": (False,),
    "modules_to_save": (None, []), "layer_replication": (None, []), "trainable_token_indices": (None, []),
    "target_parameters": (None, []), "alora_invocation_tokens": (None, []), "megatron_config": (None,),
}  # fmt: skip


class PeftFolder:
    """A folder with adapter_config.json and adapter_model.safetensors."""

    def __init__(self, path: Path) -> None:
        """Raises ArchitectureError with the reason why the folder is not supported."""
        self.path = path
        self._config = _read_config(path / CONFIG)
        for name, allowed in SUPPORTED.items():
            if name in self._config and self._config[name] not in allowed:
                raise ArchitectureError(
                    f"its {CONFIG} has {name} {self._config[name]!r}; the supported value is {allowed[0]!r}"
                )
        try:
            self._file = TensorFile(path / WEIGHTS)
        except (TensorFileError, OSError) as error:
            raise ArchitectureError(f"its {WEIGHTS} cannot be read: {error}") from None
        self.base_name = str(self._config.get("base_model_name_or_path") or "")

    def find_base(self) -> Path:
        """Return the folder of the frozen weights, beside the adapter. Raises ArchitectureError."""
        root = self.path.resolve().parent
        for name in (self.base_name, Path(self.base_name).name):
            found = (root / name).resolve()
            if name and found.is_relative_to(root) and found.is_dir() and found != self.path.resolve():
                return found
        raise ArchitectureError(
            f"its {CONFIG} names {self.base_name[:200]!r} as the base model; there is no such folder beside it"
        )

    def adapters(self, architecture: Architecture, model: Model) -> AdapterSet:
        """Return the adapters by their names here. Raises ArchitectureError for those that have no place here."""
        known = list_modules(architecture, model)
        names: dict[AdapterKey, str] = {}
        for key in self._file.keys():  # noqa: SIM118 - not a dictionary
            match = TENSOR.fullmatch(key.removeprefix(PREFIX))
            module = match[1] if match else ""
            found = known.get(module) or known.get(architecture.prefix + module)
            if found is None:
                raise ArchitectureError(
                    f"its {WEIGHTS} has {key[:200]!a}, which is no adapter of a matrix of {architecture.name}"
                )
            names[found] = module
        scales = {key: self._scale(module, key, model) for key, module in names.items()}
        if not scales:
            raise ArchitectureError(f"its {WEIGHTS} has no adapter")
        return AdapterSet(
            scales,
            lambda key: LowRankPair(*(self._read(names[key], letter) for letter in "AB"), scales[key][1]),
        )

    def _scale(self, module: str, key: AdapterKey, model: Model) -> tuple[int, float]:
        a, b = (self._shape(module, letter) for letter in "AB")
        if len(a) != 2 or len(b) != 2 or a[0] != b[1] or a[0] == 0:
            raise ArchitectureError(
                f"its adapter of {module} has matrices {a} and {b}, which do not fit together"
            )
        if key.matrix != HEAD and (wanted := matrix_shape(key, model)) != (b[0], a[1]):
            raise ArchitectureError(
                f"its adapter of {module} changes a matrix {(b[0], a[1])}; the model's is {wanted}"
            )
        alpha = self._config.get("lora_alpha", 8)
        for pattern, value in (self._config.get("alpha_pattern") or {}).items():
            if re.fullmatch(rf"(.*\.)?({pattern})", module):
                alpha = value
                break
        if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not math.isfinite(alpha):
            raise ArchitectureError(f"its {CONFIG} has lora_alpha {alpha!r}; it must be a number")
        return a[0], alpha / (math.sqrt(a[0]) if self._config.get("use_rslora") else a[0])

    def _key(self, module: str, letter: str) -> str:
        key = f"{PREFIX}{module}.lora_{letter}.weight"
        return key if key in self._file.keys() else key.removeprefix(PREFIX)  # noqa: SIM118 - not a dictionary

    def _shape(self, module: str, letter: str) -> tuple[int, ...]:
        try:
            return self._file.shape(self._key(module, letter))
        except KeyError:
            raise ArchitectureError(f"its adapter of {module} has no lora_{letter}") from None

    def _read(self, module: str, letter: str) -> np.ndarray[Any, Any]:
        return np.ascontiguousarray(self._file.read(self._key(module, letter)), dtype=np.float32)


def list_modules(architecture: Architecture, model: Model) -> dict[str, AdapterKey]:
    """Return the linear modules of an architecture and the adapters here that they may have."""
    matrices, found = set(list_matrices(model)), {}
    for mapping in architecture.mappings(model):
        layer, _, rest = mapping.name.partition(".")
        name = HEAD if rest == "weight" else rest.removesuffix(".weight")
        if not rest.endswith("weight") or (int(layer), name) not in matrices:
            continue
        leaf = name.rpartition(".")[2]
        parts = FUSED[leaf] if leaf in FUSED and len(mapping.hf_names) > 1 else (leaf,)
        for hf_name, part in zip(mapping.hf_names, parts, strict=True):
            found[hf_name.removesuffix(".weight")] = AdapterKey(int(layer), name, part)
    return found


def matrix_shape(key: AdapterKey, model: Model) -> tuple[int, int]:
    """Return the outputs and inputs of the part of a matrix that an adapter changes. The head's outputs: any."""
    keys = model.width // model.heads * model.num_kv_heads
    rows = {"key": keys, "value": keys, "query_key_value": model.width + 2 * keys, "key_value": 2 * keys}
    rows |= {"gate": model.ffn_width, "up": model.ffn_width}
    return rows.get(key.part, model.width), model.ffn_width if key.part == "down" else model.width


def write_adapters(
    adapters: AdapterSet, chosen: Adapter, architecture: Architecture, model: Model, folder: Path, base: str
) -> None:
    """Write the adapters so that peft loads them beside `base`. Raises ArchitectureError, OSError."""
    found: dict[str, LowRankPair] = {}
    modules = list_modules(architecture, model)
    for module, key in modules.items():
        pair = _find_pair(adapters, key, model)
        if pair is not None:
            found[module] = pair
    arrays = {}
    for module, pair in found.items():
        arrays[f"{PREFIX}{module}.lora_A.weight"] = np.ascontiguousarray(pair.a)
        arrays[f"{PREFIX}{module}.lora_B.weight"] = np.ascontiguousarray(pair.b)
    folder.mkdir(parents=True, exist_ok=True)
    tensors.write_tensors(folder / WEIGHTS, arrays, {"format": "pt"})
    is_transposed = any(mapping.is_transposed for mapping in architecture.mappings(model))
    others = {module: pair for module, pair in found.items() if len(pair.a) != chosen.rank}
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "inference_mode": True,
        "r": chosen.rank, "lora_alpha": chosen.alpha, "lora_dropout": chosen.dropout, "bias": "none",
        "target_modules": sorted(found), "fan_in_fan_out": is_transposed, "init_lora_weights": True,
        "use_rslora": False, "use_dora": False, "modules_to_save": None,
        "rank_pattern": {re.escape(module): len(pair.a) for module, pair in others.items()},
        "alpha_pattern": {re.escape(module): pair.scale * len(pair.a) for module, pair in others.items()},
    }  # fmt: skip
    (folder / CONFIG).write_text(json.dumps(config, indent=1))


def _find_pair(adapters: AdapterSet, key: AdapterKey, model: Model) -> LowRankPair | None:
    """Return the adapter of a module of the architecture: as it is, a part of a whole one, or parts side by side."""
    if key in adapters.scales:
        return adapters.read(key)
    leaf = key.matrix.rpartition(".")[2]
    if leaf not in FUSED:
        return None
    sizes = {part: matrix_shape(key._replace(part=part), model)[0] for part in FUSED[leaf]}
    if key.part != leaf:  # the architecture has the parts apart, and the adapter is one
        fused = key._replace(part=leaf)
        if fused not in adapters.scales:
            return None
        pair, first = adapters.read(fused), 0
        for part, size in sizes.items():
            if part == key.part:
                return pair._replace(b=pair.b[first : first + size])
            first += size
    own = {part: key._replace(part=part) for part in sizes}
    pairs = {part: adapters.read(one) for part, one in own.items() if one in adapters.scales}
    return _side_by_side(pairs, sizes) if pairs else None


def _side_by_side(pairs: Mapping[str, LowRankPair], sizes: Mapping[str, int]) -> LowRankPair:
    """Return one adapter of the whole matrix with the ranks of all parts: B has a block for each."""
    rank = sum(len(pair.a) for pair in pairs.values())
    b, row, column = np.zeros((sum(sizes.values()), rank), np.float32), 0, 0
    for part, size in sizes.items():
        if part in pairs:
            own = pairs[part].b
            b[row : row + size, column : column + own.shape[1]] = own
            column += own.shape[1]
        row += size
    return LowRankPair(
        np.concatenate([pair.a for pair in pairs.values()]), b, next(iter(pairs.values())).scale
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ArchitectureError(f"its {path.name} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ArchitectureError(f"its {path.name} is not a JSON object")
    return values

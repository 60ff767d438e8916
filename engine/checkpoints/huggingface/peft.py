"""Adapters in the format of Hugging Face's peft, read and written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.checkpoints import tensors
from engine.checkpoints.adapters import AdapterKey, AdapterSet, LowRankPair
from engine.checkpoints.huggingface.mapping.family import ArchitectureError, Family
from engine.checkpoints.huggingface.mapping.transforms import INTERLEAVED, PLAIN, TRANSPOSED, Array, Transform
from engine.checkpoints.tensors import TensorFile, TensorFileError
from engine.spec.adapters import FUSED, HEAD, list_matrices
from engine.spec.model import Model
from engine.spec.spec import Spec

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

    def adapters(self, family: Family, model: Model, vocab_size: int) -> AdapterSet:
        """Return the adapters by their names here. Raises ArchitectureError for those that have no place here."""
        known = list_modules(family, model, vocab_size)
        names: dict[AdapterKey, tuple[str, PeftModule]] = {}
        for key in self._file.keys():  # noqa: SIM118 - not a dictionary
            match = TENSOR.fullmatch(key.removeprefix(PREFIX))
            module = match[1] if match else ""
            found = _find_module(module, family, known)
            if found is None:
                raise ArchitectureError(
                    f"its {WEIGHTS} has {key[:200]!a}, which is no adapter of a matrix of {family.title}"
                )
            names |= dict.fromkeys(found.rows, (module, found))
        scales = {key: self._scale(*place) for key, place in names.items()}
        if not scales:
            raise ArchitectureError(f"its {WEIGHTS} has no adapter")

        def read(key: AdapterKey) -> LowRankPair:
            module, place = names[key]
            a, b = (self._read(module, letter) for letter in "AB")
            return LowRankPair(a, place.rows_of(key, b, model), scales[key][1])

        return AdapterSet(scales, read)

    def _scale(self, module: str, place: PeftModule) -> tuple[int, float]:
        a, b = (self._shape(module, letter) for letter in "AB")
        if len(a) != 2 or len(b) != 2 or a[0] != b[1] or a[0] == 0:
            raise ArchitectureError(
                f"its adapter of {module} has matrices {a} and {b}, which do not fit together"
            )
        if (b[0], a[1]) != (wanted := (sum(place.rows.values()), place.inputs)):
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

    def _read(self, module: str, letter: str) -> Array:
        return np.ascontiguousarray(self._file.read(self._key(module, letter)), dtype=np.float32)


@dataclass(frozen=True)
class PeftModule:
    """One linear module of a family: the adapters here that make up its output, each with its rows."""

    rows: dict[AdapterKey, int]
    inputs: int
    transform: Transform  # of its rows

    def rows_of(self, key: AdapterKey, b: Array, model: Model) -> Array:
        """Return the rows of B of one adapter here."""
        whole, first = self.transform.from_hf(b, model), 0
        for own, size in self.rows.items():
            if own == key:
                return np.ascontiguousarray(whole[first : first + size])
            first += size
        raise KeyError(key)


def list_modules(family: Family, model: Model, vocab_size: int) -> dict[str, PeftModule]:
    """Return the linear modules of a family that may have adapters."""
    matrices, found = set(list_matrices(model)), {}
    for mapping in family.mappings(model, vocab_size):
        places = [_place_of(name) for name in mapping.names]
        if not set(places) <= matrices:
            continue
        # Only an interleaved matrix has its rows in another order; a transposed one is no matter of A and B.
        transform = INTERLEAVED if mapping.transform is INTERLEAVED else PLAIN
        inputs, keys = mapping.shapes[0][1], {}
        for (layer, name), shape in zip(places, mapping.shapes, strict=True):
            leaf = name.rpartition(".")[2]
            if leaf in FUSED and len(mapping.hf_names) == len(FUSED[leaf]):
                keys |= {AdapterKey(layer, name, part): part_rows(part, model) for part in FUSED[leaf]}
            else:
                keys[AdapterKey(layer, name, leaf)] = shape[0]
        groups = [keys] if len(mapping.hf_names) == 1 else [{key: size} for key, size in keys.items()]
        for hf_name, rows in zip(mapping.hf_names, groups, strict=True):
            found[hf_name.removesuffix(".weight")] = PeftModule(rows, inputs, transform)
    return found


def part_rows(part: str, model: Model) -> int:
    return model.query_width if part == "query" else model.kv_width


def _place_of(name: str) -> tuple[int, str]:
    """Return layer and matrix of a weight; no matrix has the name of a bias."""
    layer, _, rest = name.partition(".")
    return int(layer), HEAD if rest == "weight" else rest.removesuffix(".weight")


def _find_module(name: str, family: Family, known: Mapping[str, PeftModule]) -> PeftModule | None:
    """Return a module by its name, which has no prefix in a bare model and another name in older folders."""
    for new, old in (("", ""), *family.renamed):
        wanted = name.replace(old, new) if old else name
        if found := known.get(wanted) or known.get(family.prefix + wanted):
            return found
    return None


def write_adapters(adapters: AdapterSet, spec: Spec, family: Family, folder: Path, base: str) -> None:
    """Write the adapters so that peft loads them beside `base`. Raises OSError."""
    chosen, model = spec.adapter, spec.model
    found = {
        module: pair
        for module, place in list_modules(family, model, spec.vocab_size).items()
        if (pair := _find_pair(adapters, place, model)) is not None
    }
    arrays = {
        f"{PREFIX}{module}.lora_{letter}.weight": np.ascontiguousarray(values)
        for module, pair in found.items()
        for letter, values in (("A", pair.a), ("B", pair.b))
    }
    folder.mkdir(parents=True, exist_ok=True)
    tensors.write_tensors(folder / WEIGHTS, arrays, {"format": "pt"})
    is_transposed = any(one.transform is TRANSPOSED for one in family.mappings(model, spec.vocab_size))
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


def _find_pair(adapters: AdapterSet, place: PeftModule, model: Model) -> LowRankPair | None:
    """Return one adapter of a module: as it is here, a part of a whole one, or several side by side."""
    rows: dict[AdapterKey, int] = {}
    for key, size in place.rows.items():
        leaf = key.matrix.rpartition(".")[2]
        whole = key._replace(part=leaf)
        if key not in adapters.scales and whole in adapters.scales:
            return _cut(adapters.read(whole), key.part, leaf, model)
        if key in adapters.scales or leaf not in FUSED or key.part != leaf:
            rows[key] = size
        else:
            rows |= {key._replace(part=part): part_rows(part, model) for part in FUSED[leaf]}
    pairs = {key: adapters.read(key) for key in rows if key in adapters.scales}
    if not pairs:
        return None
    found = next(iter(pairs.values())) if len(rows) == 1 else _side_by_side(pairs, rows)
    return found._replace(b=place.transform.to_hf(found.b, model))


def _cut(pair: LowRankPair, wanted: str, leaf: str, model: Model) -> LowRankPair:
    """Return the part of an adapter of a whole matrix that one module of the family has."""
    first = 0
    for part in FUSED[leaf]:
        if part == wanted:
            break
        first += part_rows(part, model)
    return pair._replace(b=pair.b[first : first + part_rows(wanted, model)])


def _side_by_side(pairs: Mapping[AdapterKey, LowRankPair], sizes: Mapping[AdapterKey, int]) -> LowRankPair:
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

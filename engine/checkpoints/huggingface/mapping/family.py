"""Description of a model family: fields of config.json, names of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.checkpoints.huggingface.mapping.transforms import PLAIN, Transform
from engine.checkpoints.huggingface.mapping.weight_mapping import WeightMapping
from engine.model_math.counts import model_layer_kinds
from engine.model_math.parameters import layer_parameters
from engine.spec.model import Model

LARGEST_SIZE = 2**31 - 1
# Kind of layer -> name of a module or parameter here -> name there. A plus sign joins several modules that make one
# tensor on the other side; {} is the number of the block in its stack.
Names = Mapping[str, Mapping[str, str]]


class ArchitectureError(ValueError):
    """A model or folder matches no supported family; the message gives the reason."""


@dataclass(frozen=True)
class ConfigField:
    """A size, number or flag in config.json with the same meaning as a field of spec.model."""

    name: str
    hf_name: str
    default: Any = None  # if config.json leaves it out or has null; None: it must be there
    kind: type = int
    is_optional: bool = False  # empty here if config.json leaves it out

    def read(self, config: Mapping[str, Any]) -> Any:
        value = config.get(self.hf_name)
        if value is None:
            value = self.default
        if value is None and self.is_optional:
            return None
        if self.kind is int:
            return read_size({self.hf_name: value}, self.hf_name)
        if self.kind is bool and not isinstance(value, bool):
            raise ArchitectureError(f"its {self.hf_name} is {value!r}; it must be true or false")
        if self.kind is float and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ArchitectureError(f"its {self.hf_name} is {value!r}; it must be a number")
        return value


Read = Callable[[Mapping[str, Any]], dict[str, Any]]
Write = Callable[[Model], dict[str, Any]]


@dataclass(frozen=True)
class Family:
    """One supported model family, read and written by the same rows."""

    title: str
    model_type: str
    class_name: str
    fields: tuple[ConfigField, ...]
    fixed: Mapping[str, Any]  # values of spec.model in every model of the family
    names: Callable[[Model], Names]
    parts: tuple[
        tuple[Read, Write], ...
    ] = ()  # what takes several fields: rotary positions, windows, activation
    allowed: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # config field -> supported values
    constants: Mapping[str, Any] = field(default_factory=dict)  # further fields to write
    dropouts: tuple[str, ...] = ()
    transforms: Mapping[str, Transform] = field(default_factory=dict)  # module here -> storage there
    prefix: str = "model."  # left out of tensor names in a folder of the bare model
    renamed: tuple[tuple[str, str], ...] = ()  # parts of names -> those in older folders

    def read(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of spec.model. Raises ArchitectureError."""
        for name, values in self.allowed.items():
            if name in config and config[name] not in values:
                supported = " and ".join(str(value) for value in dict.fromkeys(values))
                word = "value is" if len(values) == 1 else "values are"
                raise ArchitectureError(f"its {name} is {config[name]!r}; the supported {word} {supported}")
        found = dict(self.fixed) | {one.name: one.read(config) for one in self.fields}
        for read, _ in self.parts:
            found |= read(config)
        return _shortened(found)

    def write(self, model: Model) -> dict[str, Any]:
        """Return the fields of config.json."""
        values = {one.hf_name: getattr(model, _SOURCES.get(one.name, one.name)) for one in self.fields}
        for _, write in self.parts:
            values |= write(model)
        return {**values, **self.constants, **dict.fromkeys(self.dropouts, model.dropout)}

    def mappings(self, model: Model, vocab_size: int) -> Iterator[WeightMapping]:
        """Yield the mapping of every parameter and tensor, in the order of the layers."""
        kinds, names = model_layer_kinds(model), self.names(model)
        numbers: dict[str, int] = {}
        for index, kind in enumerate(kinds):
            table = "decoder_block" if kind == "window_block" else kind
            number = numbers[table] = numbers.get(table, -1) + 1
            shapes = {one.name: one.shape for one in layer_parameters(model, vocab_size, kind)}
            if kind == "head" and model.tied_embeddings:
                del shapes["weight"]
            for ours, theirs in names.get(table, {}).items():
                for leaf in (".weight", ".bias", ""):
                    sources = [(name + leaf).removeprefix(".") for name in ours.split("+")]
                    if sources[0] not in shapes:
                        continue
                    yield WeightMapping(
                        tuple(f"{index}.{name}" for name in sources),
                        tuple(name.format(number) + leaf for name in theirs.split("+")),
                        tuple(shapes.pop(name) for name in sources),
                        self.transforms.get(ours, PLAIN),
                        model,
                    )
            assert not shapes, f"{self.title} has no name for {', '.join(shapes)} of a {kind}"


# Field here that may be empty -> its value
_SOURCES = {"kv_heads": "num_kv_heads", "head_dim": "head_size", "encoder_layers": "num_encoder_layers"}


def _shortened(found: dict[str, Any]) -> dict[str, Any]:
    """Leave out what follows from other fields."""
    if found.get("head_dim") is None and found["width"] % found["heads"]:
        raise ArchitectureError(
            f"its width {found['width']} is not a multiple of its {found['heads']} heads, and it has no head size"
        )
    if found.get("kv_heads") == found["heads"]:
        found["kv_heads"] = None
    if found.get("head_dim") is not None and found["head_dim"] * found["heads"] == found["width"]:
        found["head_dim"] = None
    return found


def read_size(config: Mapping[str, Any], name: str) -> int:
    """Return a size in a config.json. Raises ArchitectureError unless it is a positive number of 32 bits."""
    value = config.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_SIZE:
        raise ArchitectureError(
            f"its {name} is {value!r}; it must be a whole number from 1 to {LARGEST_SIZE:,}"
        )
    return value

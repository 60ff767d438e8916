"""The submit form, made from the spec's own fields: a field added to engine.spec.spec appears here by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.spec.optimisers import OPTIMISERS
from engine.spec.parts import Optimiser
from engine.spec.spec import Spec, flatten

Kind = Literal["whole", "number", "choice", "switch", "text"]
TRUE_TEXTS = ("on", "true")

# Fields that most people leave as they are: behind "more" of their group until they are changed.
RARE = {
    "preemptible", "requires", "kind", "start_from",
    "model.kv_heads", "model.positions", "model.norm", "model.feed_forward", "model.biases", "model.tied_embeddings",
    "data.validation_share", "data.token_dropout",
    "parallel.offload_optimiser", "parallel.offload_parameters",
    "optimiser.weight_decay", "optimiser.gradient_clip", "optimiser.label_smoothing",
    "guard.on_broken_step", "guard.spike_factor", "guard.patience",
    "budget.keep_checkpoints", "budget.keep_best", "budget.time_limit_s",
}  # fmt: skip


def _optimiser_fields() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Fields that some optimisers do not read, each with the optimisers that do."""
    readers = {
        name: tuple(row.name for row in OPTIMISERS.values() if name in row.fields)
        for name in Optimiser.model_fields.keys() - {"name"}
    }
    return {
        f"optimiser.{name}": ("optimiser.name", names)
        for name, names in readers.items()
        if len(names) < len(OPTIMISERS)
    }


# field -> (another field, the values of that one with which it means something)
WHEN: dict[str, tuple[str, tuple[str, ...]]] = {
    "model.encoder_layers": ("model.family", ("encoder-decoder",)),
    "model.classes": ("data.objective", ("classes",)),
    "data.vocab_size": ("data.tokenizer", ("bpe",)),
    **_optimiser_fields(),
    "parallel.offload_parameters": ("parallel.zero_stage", ("3",)),
    "parallel.offload_optimiser": ("parallel.zero_stage", ("1", "2", "3")),
    # A fabric test has no model: nothing to split, to share out, to recompute, to validate or to save.
    **dict.fromkeys(
        (
            "seed",
            "start_from",
            "parallel.tensor",
            "parallel.stages",
            "parallel.zero_stage",
            "parallel.activation_checkpointing",
            "budget.validate_every",
            "budget.checkpoint_every",
            "budget.keep_checkpoints",
            "budget.keep_best",
        ),
        ("kind", ("training",)),
    ),
}
TRAINING_GROUPS = ("Model", "Data", "Batch", "Precision", "Optimiser", "Guard")


@dataclass(frozen=True)
class SpecField:
    """One input: its dotted path in the spec, what stands beside it, and how its text is read."""

    path: str
    title: str
    help: str
    kind: Kind
    default: Any
    choices: tuple[Any, ...] = ()
    is_optional: bool = False  # nothing typed is None

    @property
    def is_rare(self) -> bool:
        return self.path in RARE

    @property
    def when(self) -> str:
        """'path=value value': shown only while that field has one of these values; '' is always."""
        path, values = WHEN.get(self.path, ("", ()))
        return f"{path}={' '.join(values)}" if path else ""

    @property
    def default_text(self) -> str:
        return self.text_of(self.default)

    @property
    def id(self) -> str:
        return "field-" + self.path.replace(".", "-").replace("_", "-")

    def value_of(self, text: str) -> Any:
        """The plain value a text stands for; a text that is none is kept, for the spec's check to refuse."""
        readers: dict[str, Any] = {"whole": int, "number": _finite}
        if self.is_optional and not text.strip():
            return None
        if self.kind == "switch":
            return text.lower() in TRUE_TEXTS
        if self.kind == "choice":
            return next((choice for choice in self.choices if str(choice) == text), text)
        try:
            return readers.get(self.kind, str)(text)
        except ValueError:
            return text

    def text_of(self, value: Any) -> str:
        """What the input shows for a value of any type, so that a wrong one can be seen and mended."""
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)


def _finite(text: str) -> float:
    """Raises ValueError for 1e999 too: read as infinity, what was typed would be lost."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


@dataclass(frozen=True)
class Group:
    title: str
    help: str
    fields: tuple[SpecField, ...]

    @property
    def when(self) -> str:
        """As a field's: the groups that only training reads."""
        return "kind=training" if self.title in TRAINING_GROUPS else ""

    @property
    def num_rare(self) -> int:
        return sum(field.is_rare for field in self.fields)


def _field(path: str, info: FieldInfo, default: Any) -> SpecField:
    kinds: dict[Any, Kind] = {int: "whole", float: "number", bool: "switch", str: "text"}
    is_choice = get_origin(info.annotation) is Literal
    kept = [part for part in get_args(info.annotation) if part is not NoneType]
    is_optional = not is_choice and len(kept) < len(get_args(info.annotation))
    return SpecField(
        path=path,
        title=info.title or path,
        help=info.description or "",
        kind="choice" if is_choice else kinds[kept[0] if is_optional else info.annotation],
        default=default,
        choices=get_args(info.annotation) if is_choice else (),
        is_optional=is_optional,
    )


def _groups() -> tuple[Group, ...]:
    top: list[SpecField] = []
    groups = []
    for name, info in Spec.model_fields.items():
        part = info.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            fields = tuple(
                _field(f"{name}.{leaf}", leaf_info, leaf_info.default)
                for leaf, leaf_info in part.model_fields.items()
            )
            groups.append(Group(part.__name__, (part.__doc__ or "").strip().split("\n")[0], fields))
        else:
            top.append(_field(name, info, info.default))
    return (Group("Run", "", tuple(top)), *groups)


GROUPS: tuple[Group, ...] = _groups()
FIELDS: dict[str, SpecField] = {field.path: field for group in GROUPS for field in group.fields}


def values_of(post: Mapping[str, str]) -> dict[str, Any]:
    """{dotted path: value} of a posted form. An unticked switch is not posted, which means false."""
    return {
        path: field.value_of(post.get(path, ""))
        for path, field in FIELDS.items()
        if path in post or field.kind == "switch"
    }


def texts_of(values: Any) -> dict[str, str]:
    """{dotted path: what its input shows} for nested values; a field that is not given shows its default."""
    flat = flatten(values) if isinstance(values, Mapping) else {}
    return {path: field.text_of(flat.get(path, field.default)) for path, field in FIELDS.items()}

"""Fields of the submit form, made from the fields of the spec.

A field that is added to engine.spec.spec appears in the form without changes here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.spec.model import SCALING_FIELDS, Model
from engine.spec.optimisers import OPTIMISERS
from engine.spec.parts import Optimiser
from engine.spec.spec import Spec, flatten

Kind = Literal["whole", "number", "choice", "switch", "text"]
TRUE_TEXTS = ("on", "true")

COMMON_MODEL_FIELDS = (
    "family", "layers", "encoder_layers", "width", "heads", "ffn_width", "context", "classes", "dropout",
)  # fmt: skip
# Fields that are rarely changed: hidden behind "more" of their group until they differ from their default
RARE = {
    "preemptible", "requires", "kind", "start_from",
    *(f"model.{name}" for name in Model.model_fields if name not in COMMON_MODEL_FIELDS),
    "data.validation_share", "data.token_dropout",
    "parallel.offload_optimiser", "parallel.offload_parameters",
    "optimiser.weight_decay", "optimiser.gradient_clip", "optimiser.label_smoothing",
    "guard.on_broken_step", "guard.spike_factor", "guard.patience",
    "budget.keep_checkpoints", "budget.keep_best", "budget.time_limit_s",
}  # fmt: skip


def _optimiser_fields() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the fields that only some optimisers read, each with these optimisers."""
    readers = {
        name: tuple(row.name for row in OPTIMISERS.values() if name in row.fields)
        for name in Optimiser.model_fields.keys() - {"name"}
    }
    return {
        f"optimiser.{name}": ("optimiser.name", names)
        for name, names in readers.items()
        if len(names) < len(OPTIMISERS)
    }


def _rotary_fields() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the fields that only some scalings of rotary positions read, each with these scalings."""
    names = sorted(set().union(*SCALING_FIELDS.values()))
    readers = {
        name: tuple(kind for kind, fields in SCALING_FIELDS.items() if name in fields) for name in names
    }
    return {f"model.{name}": ("model.rope_scaling", kinds) for name, kinds in readers.items()}


# Field -> (another field, values of that field for which this one applies)
WHEN: dict[str, tuple[str, tuple[str, ...]]] = {
    "model.encoder_layers": ("model.family", ("encoder-decoder",)),
    "model.classes": ("data.objective", ("classes",)),
    **dict.fromkeys(
        ("model.rope_base", "model.rope_local_base", "model.rope_scaling", "model.rotary_share"),
        ("model.positions", ("rotary",)),
    ),
    **_rotary_fields(),
    **dict.fromkeys(
        ("model.relative_buckets", "model.relative_distance"), ("model.positions", ("relative",))
    ),
    **dict.fromkeys(("model.window", "model.window_layers"), ("model.family", ("decoder",))),
    "model.bias_in": ("model.biases", ("true",)),
    "data.vocab_size": ("data.tokenizer", ("bpe", "pretrained")),
    "data.tokenizer_path": ("data.tokenizer", ("pretrained",)),
    "data.packing": ("data.objective", ("next_token", "pairs", "chat")),
    **_optimiser_fields(),
    "parallel.offload_parameters": ("parallel.zero_stage", ("3",)),
    "parallel.offload_optimiser": ("parallel.zero_stage", ("1", "2", "3")),
    # A fabric test has no model: these fields do not apply to it.
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
# Section of the spec -> title of its group; others have the section's name
GROUP_TITLES = {"BatchSizes": "Batch", "Guard": "Loss spikes and NaN"}
TRAINING_GROUPS = ("Model", "Data", "Batch", "Precision", "Optimiser", "Loss spikes and NaN")


@dataclass(frozen=True)
class SpecField:
    """One input: its dotted path in the spec, its texts, and the conversion of its value."""

    path: str
    title: str
    help: str
    kind: Kind
    default: Any
    choices: tuple[Any, ...] = ()
    is_optional: bool = False  # an empty text is None

    @property
    def is_rare(self) -> bool:
        return self.path in RARE

    @property
    def when(self) -> str:
        """'path=value value': the field is shown if that field has one of these values; '': always."""
        path, values = WHEN.get(self.path, ("", ()))
        return f"{path}={' '.join(values)}" if path else ""

    @property
    def default_text(self) -> str:
        return self.text_of(self.default)

    @property
    def id(self) -> str:
        return "field-" + self.path.replace(".", "-").replace("_", "-")

    def value_of(self, text: str) -> Any:
        """Convert a text to a value. An invalid text is returned as it is, so that the spec's check refuses it."""
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
        """Convert a value of any type to the text of the input, so that an invalid value can be seen and corrected."""
        if value is None:
            return ""
        return str(value).lower() if isinstance(value, bool) else str(value)


def _finite(text: str) -> float:
    """Parse a finite number. Raises ValueError for 1e999 too: as infinity, the typed text would be lost."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


@dataclass(frozen=True)
class FieldGroup:
    title: str
    help: str
    fields: tuple[SpecField, ...]

    @property
    def when(self) -> str:
        """Condition to show the group, as `SpecField.when`."""
        return "kind=training" if self.title in TRAINING_GROUPS else ""

    @property
    def num_rare(self) -> int:
        return sum(field.is_rare for field in self.fields)


def _plain_type(part: Any) -> Any:
    """Leave out what pydantic has to know about a type."""
    return get_args(part)[0] if get_origin(part) is Annotated else part


def _build_field(path: str, info: FieldInfo, default: Any) -> SpecField:
    kinds: dict[Any, Kind] = {int: "whole", float: "number", bool: "switch", str: "text"}
    is_choice = get_origin(info.annotation) is Literal
    types = [_plain_type(part) for part in get_args(info.annotation) if part is not NoneType]
    is_optional = not is_choice and len(types) < len(get_args(info.annotation))
    return SpecField(
        path=path,
        title=info.title or path,
        help=info.description or "",
        kind="choice" if is_choice else kinds[types[0] if is_optional else info.annotation],
        default=default,
        choices=get_args(info.annotation) if is_choice else (),
        is_optional=is_optional,
    )


def _build_groups() -> tuple[FieldGroup, ...]:
    top: list[SpecField] = []
    groups = []
    for name, info in Spec.model_fields.items():
        section = info.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            fields = tuple(
                _build_field(f"{name}.{leaf}", leaf_info, leaf_info.default)
                for leaf, leaf_info in section.model_fields.items()
            )
            help_text = (section.__doc__ or "").strip().split("\n")[0]
            groups.append(FieldGroup(GROUP_TITLES.get(section.__name__, section.__name__), help_text, fields))
        else:
            top.append(_build_field(name, info, info.default))
    return (FieldGroup("Run", "", tuple(top)), *groups)


GROUPS: tuple[FieldGroup, ...] = _build_groups()
FIELDS: dict[str, SpecField] = {field.path: field for group in GROUPS for field in group.fields}


def values_from_post(post: Mapping[str, str]) -> dict[str, Any]:
    """Return {dotted path: value} of a posted form. An unticked switch is not posted and means false."""
    return {
        path: field.value_of(post.get(path, ""))
        for path, field in FIELDS.items()
        if path in post or field.kind == "switch"
    }


def texts_from_values(values: Any) -> dict[str, str]:
    """Return {dotted path: text of its input} for nested values; a missing field has its default."""
    flat = flatten(values) if isinstance(values, Mapping) else {}
    return {path: field.text_of(flat.get(path, field.default)) for path, field in FIELDS.items()}

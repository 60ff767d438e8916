"""Parts of config.json that take several fields: rotary positions, windows, activations, biases."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from engine.checkpoints.huggingface.mapping.family import (
    ArchitectureError,
    ConfigField,
    Read,
    Write,
    read_size,
)
from engine.spec.model import Model, shortest_pattern

Config = Mapping[str, Any]
Part = tuple[Read, Write]

ACTIVATIONS = {
    "gelu_new": "gelu", "gelu_pytorch_tanh": "gelu", "gelu_fast": "gelu", "gelu": "gelu_exact", "relu": "relu",
    "silu": "silu", "swish": "silu",
}  # fmt: skip
GATES = {"gelu": "geglu", "gelu_exact": "geglu_exact", "relu": "reglu", "silu": "swiglu"}


def activation(hf_name: str, default: str, is_gated: bool) -> Part:
    """The activation of the feed-forward by its name in transformers."""

    def read(config: Config) -> dict[str, Any]:
        name = config.get(hf_name) or default
        if name not in ACTIVATIONS:
            supported = ", ".join(ACTIVATIONS)
            raise ArchitectureError(f"its {hf_name} is {name!r}; the supported values are {supported}")
        plain = ACTIVATIONS[name]
        return {"feed_forward": GATES[plain] if is_gated else plain}

    def write(model: Model) -> dict[str, Any]:
        plain = {gate: name for name, gate in GATES.items()} if is_gated else {name: name for name in GATES}
        names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
        return {hf_name: names[plain[model.feed_forward]] if model.feed_forward in plain else default}

    return read, write


def biases(**hf_names: str) -> Part:
    """Flags in config.json for biases in `attention` and `feed_forward`; a part without a flag has none."""

    def read(config: Config) -> dict[str, Any]:
        has = {
            part: ConfigField(part, name, False, bool).read(config) for part, name in hf_names.items() if name
        }
        where = [part for part, value in has.items() if value]
        if not where:
            return {"biases": False}
        return {"biases": True, "bias_in": "all" if len(where) == 2 else where[0]}

    def write(model: Model) -> dict[str, Any]:
        flags = {"attention": model.has_output_bias, "feed_forward": model.has_feed_forward_biases}
        return {name: flags[part] for part, name in hf_names.items() if name}

    return read, write


SCALING_TYPES = {
    "default": "none",
    "linear": "linear",
    "dynamic": "dynamic",
    "llama3": "llama3",
    "yarn": "yarn",
}
# Field here -> field of rope_scaling
SCALING_FIELDS = {
    "rope_factor": "factor", "rope_low_factor": "low_freq_factor", "rope_high_factor": "high_freq_factor",
    "rope_beta_fast": "beta_fast", "rope_beta_slow": "beta_slow", "rope_attention_factor": "attention_factor",
}  # fmt: skip
READ_BY = {
    "linear": ("rope_factor",),
    "dynamic": ("rope_factor",),
    "llama3": ("rope_factor", "rope_low_factor", "rope_high_factor"),
    "yarn": ("rope_factor", "rope_beta_fast", "rope_beta_slow", "rope_attention_factor"),
}
DEFAULTS = {"beta_fast": 32.0, "beta_slow": 1.0}


def rotary(
    base: float = 10_000.0, base_name: str = "rope_theta",
    share: float = 1.0, share_name: str = "partial_rotary_factor",
) -> Part:  # fmt: skip
    """Rotary positions with their scaling, in the notation of transformers 4 (rope_theta, rope_scaling) and 5
    (rope_parameters). Written in that of 4, which both read."""

    def read(config: Config) -> dict[str, Any]:
        values = _mapping(config, "rope_scaling") | _mapping(config, "rope_parameters")
        return {
            "rope_base": _number(values, "rope_theta", _number(config, base_name, base)),
            "rotary_share": _number(values, "partial_rotary_factor", _number(config, share_name, share)),
        } | read_scaling(values, config)

    def write(model: Model) -> dict[str, Any]:
        values = {base_name: model.rope_base, "rope_scaling": write_scaling(model)}
        if model.rotary_share != 1 or share != 1:
            values[share_name] = model.rotary_share
        if model.rope_scaling == "dynamic":  # transformers scales beyond this length
            values["max_position_embeddings"] = model.rope_original_context or model.context
        return values

    return read, write


def read_scaling(values: Config, config: Config) -> dict[str, Any]:
    kind = values.get("rope_type") or values.get("type") or "default"
    if kind not in SCALING_TYPES:
        raise ArchitectureError(
            f"its rope_scaling has the type {kind!r}; the supported types are {', '.join(SCALING_TYPES)}"
        )
    if kind == "default":
        return {"rope_scaling": "none"}
    if values.get("truncate", True) is not True:
        raise ArchitectureError("its rope_scaling has truncate false, which is not supported")
    found: dict[str, Any] = {"rope_scaling": SCALING_TYPES[kind]}
    for name in READ_BY[kind]:
        hf_name = SCALING_FIELDS[name]
        if name == "rope_attention_factor" and values.get(hf_name) is None:
            found[name] = _mscale(values)
        else:
            found[name] = _number(values, hf_name, DEFAULTS.get(hf_name))
    if kind in ("llama3", "yarn"):
        original = {**config, **values}.get("original_max_position_embeddings")
        sizes = config if original is None else {"max_position_embeddings": original}
        found["rope_original_context"] = read_size(sizes, "max_position_embeddings")
    elif kind == "dynamic":
        found["rope_original_context"] = read_size(config, "max_position_embeddings")
    return found


def _mscale(values: Config) -> float | None:
    """YaRN's attention factor as DeepSeek writes it: a quotient of two scales. None: that of the paper."""
    factor, over, under = (_number(values, name, 0.0) for name in ("factor", "mscale", "mscale_all_dim"))
    if not over or not under or factor <= 1:
        return None
    return (0.1 * over * math.log(factor) + 1) / (0.1 * under * math.log(factor) + 1)


def write_scaling(model: Model) -> dict[str, Any] | None:
    kind = model.rope_scaling
    if kind == "none":
        return None
    values = {SCALING_FIELDS[name]: getattr(model, name) for name in READ_BY[kind]}
    if kind in ("llama3", "yarn"):
        values["original_max_position_embeddings"] = model.rope_original_context or model.context
    return {"rope_type": kind} | {name: value for name, value in values.items() if value is not None}


def windows(
    default: int | None, pattern: Callable[[Config, int], str] | None = None, flag: str | None = None
) -> Part:
    """Sliding window. `pattern` gives S and F of the layers where config.json has no layer_types; None: all layers have
    the window, whatever layer_types says. `flag`: the field that switches it on."""

    def read(config: Config) -> dict[str, Any]:
        window = config.get("sliding_window", default)
        if window is None or (flag is not None and not config.get(flag, False)):
            return {"window": None}
        window = read_size({"sliding_window": window}, "sliding_window")
        if pattern is None:
            return {"window": window, "window_layers": "S"}
        flags = _layer_flags(config, pattern)
        if "S" not in flags:
            return {"window": None}
        return {"window": window, "window_layers": shortest_pattern(flags)}

    def write(model: Model) -> dict[str, Any]:
        values: dict[str, Any] = {"sliding_window": model.window}
        if flag is not None:
            values[flag] = model.window is not None
        if pattern is not None:
            kinds = {True: "sliding_attention", False: "full_attention"}
            values["layer_types"] = [kinds[model.has_window(layer)] for layer in range(model.layers)]
            values["sliding_window"] = model.window or default
        return values

    return read, write


def _layer_flags(config: Config, pattern: Callable[[Config, int], str]) -> str:
    layers, types = read_size(config, "num_hidden_layers"), config.get("layer_types")
    if types is None:
        return pattern(config, layers)
    letters = {"sliding_attention": "S", "full_attention": "F"}
    if not isinstance(types, list) or len(types) != layers:
        raise ArchitectureError(f"its layer_types are not a list of {layers} types")
    for kind in types:
        if kind not in letters:
            raise ArchitectureError(
                f"its layer_types have {kind!r}; the supported types are sliding_attention and full_attention"
            )
    return "".join(letters[kind] for kind in types)


def _mapping(config: Config, name: str) -> dict[str, Any]:
    values = config.get(name) or {}
    if not isinstance(values, Mapping):
        raise ArchitectureError(f"its {name} are not a JSON object")
    return dict(values)


def _number(values: Config, name: str, default: Any) -> Any:
    value = values.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArchitectureError(f"its {name} is {value!r}; it must be a number")
    return float(value)

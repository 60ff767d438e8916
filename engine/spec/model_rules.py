"""Rules for the fields of a model that work only together."""

from __future__ import annotations

from collections.abc import Iterator

from engine.spec.model import Model
from engine.spec.problems import Problem
from engine.spec.spec import Spec


def model_problems(spec: Spec) -> Iterator[Problem]:
    for rules in (_rotary, _scaling, _relative, _blocks):
        yield from rules(spec.model)


def _rotary(model: Model) -> Iterator[Problem]:
    if model.positions != "rotary" or (model.head_dim is None and model.width % model.heads):
        return
    size = model.rotary_size
    if (size % 2 or not size) and model.rotary_share < 1:
        yield Problem(
            "model.rotary_share",
            f"Rotary positions rotate pairs of features; {model.rotary_share:g} of {model.head_size} features are "
            f"{size}, which is not an even number of at least 2.",
            {"model.rotary_share": 1.0},
        )
    elif size % 2:
        yield Problem(
            "model.positions",
            "Rotary positions rotate pairs of features, so a head needs an even number of them; here it has "
            f"{size}. Learned positions work.",
            {"model.positions": "learned"},
        )
    elif model.rope_scaling == "dynamic" and size < 4:
        yield Problem(
            "model.rope_scaling",
            f"Dynamic scaling needs at least 4 rotated features in a head; here it has {size}. Linear works.",
            {"model.rope_scaling": "linear"},
        )


def _scaling(model: Model) -> Iterator[Problem]:
    if model.positions != "rotary":
        return
    if model.rope_scaling == "llama3" and model.rope_high_factor <= model.rope_low_factor:
        yield Problem(
            "model.rope_high_factor",
            f"The high-frequency factor {model.rope_high_factor:g} must be greater than the low-frequency factor "
            f"{model.rope_low_factor:g}.",
            {"model.rope_high_factor": min(1024.0, 4 * model.rope_low_factor)},
        )
    if model.rope_scaling != "yarn":
        return
    if model.rope_beta_fast <= model.rope_beta_slow:
        yield Problem(
            "model.rope_beta_fast",
            f"Beta fast {model.rope_beta_fast:g} must be greater than beta slow {model.rope_beta_slow:g}.",
            {"model.rope_beta_fast": 32.0, "model.rope_beta_slow": 1.0},
        )
    if model.rope_base <= 1:
        yield Problem(
            "model.rope_base", "YaRN needs a rotary base greater than 1.", {"model.rope_base": 10_000.0}
        )


def _relative(model: Model) -> Iterator[Problem]:
    if model.positions != "relative":
        return
    if model.family != "encoder-decoder":
        yield Problem(
            "model.positions",
            "Relative positions work in an encoder-decoder only; rotary positions work in every family.",
            {"model.positions": "rotary"},
        )
    if model.attention_softcap:
        yield Problem(
            "model.attention_softcap",
            "A soft-cap of attention scores and relative positions do not work together; 0 disables the soft-cap.",
            {"model.attention_softcap": 0.0},
        )
    if model.relative_buckets < 4 or model.relative_buckets % 2:
        yield Problem(
            "model.relative_buckets",
            f"{model.relative_buckets} buckets cannot be divided between the two directions; use an even number of "
            "at least 4.",
            {"model.relative_buckets": 32, "model.relative_distance": 128},
        )
    elif model.relative_distance <= model.relative_buckets // 2:
        yield Problem(
            "model.relative_distance",
            f"The largest distance {model.relative_distance} must be more than half of the "
            f"{model.relative_buckets} buckets, which stand for single distances.",
            {"model.relative_distance": 4 * model.relative_buckets},
        )


def _blocks(model: Model) -> Iterator[Problem]:
    if model.window is not None and model.family != "decoder":
        yield Problem(
            "model.window",
            f"Only a decoder has sliding windows; the family '{model.family}' does not. Leave the field empty.",
            {"model.window": None},
        )
    if model.parallel_residual and (model.norm_position == "post" or model.family == "encoder-decoder"):
        where = "an encoder-decoder" if model.family == "encoder-decoder" else "norms after the sum ('post')"
        yield Problem(
            "model.parallel_residual",
            f"A parallel residual does not work with {where}.",
            {"model.parallel_residual": False},
        )

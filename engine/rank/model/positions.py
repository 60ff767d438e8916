"""Positional encodings: sinusoidal, rotary, relative."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from engine.rank.model.tensor_parallel import ParameterSplit, TensorShard
from engine.spec.model import Model


@lru_cache(maxsize=4)
def sinusoidal(length: int, width: int, device: torch.device) -> Tensor:
    """Return [S, H]: sines at even features, cosines at odd ones (Vaswani et al., arXiv 1706.03762, sec. 3.5)."""
    rates = _frequencies(10_000.0, 2 * ((width + 1) // 2), width, device)
    angles = torch.outer(_positions(length, device), rates)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)[:, :width]


@dataclass(frozen=True)
class Rotary:
    """Settings of rotary positions. `size` is the number of rotated features of a head."""

    size: int
    base: float = 10_000.0
    scaling: str = "none"
    factor: float = 1.0
    original_context: int = 0
    low_factor: float = 1.0
    high_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None

    @classmethod
    def from_model(cls, model: Model, is_local: bool) -> Rotary:
        """Return the settings of a layer; `is_local`: of one with a sliding window."""
        if is_local and model.rope_local_base is not None:
            return cls(model.rotary_size, model.rope_local_base)
        return cls(
            model.rotary_size, model.rope_base, model.rope_scaling, model.rope_factor,
            model.rope_original_context or model.context, model.rope_low_factor, model.rope_high_factor,
            model.rope_beta_fast, model.rope_beta_slow, model.rope_attention_factor,
        )  # fmt: skip

    @property
    def amplitude(self) -> float:
        """Factor of rotated features (YaRN: Peng et al., arXiv 2309.00071, eq. 22)."""
        if self.scaling != "yarn":
            return 1.0
        if self.attention_factor is not None:
            return self.attention_factor
        return 0.1 * math.log(self.factor) + 1.0


def apply_rotary(x_BASD: Tensor, rotary: Rotary) -> Tensor:
    """Rotate each pair of features (d, d + size/2) by the angle position x base^(-2d/size).

    The product of a query and a key then depends on their distance alone. RoFormer (Su et al., arXiv 2104.09864,
    eq. 34) with the feature pairs of Llama. Features after the first `size` do not change.
    """
    if rotary.size < x_BASD.shape[-1]:
        rotated, rest = x_BASD.split((rotary.size, x_BASD.shape[-1] - rotary.size), -1)
        return torch.cat((apply_rotary(rotated, rotary), rest), -1)
    cos_SD, sin_SD = _rotary_tables(x_BASD.shape[-2], rotary, x_BASD.device)
    first, second = x_BASD.chunk(2, -1)
    rotated_90 = torch.cat((-second, first), -1)
    return torch.addcmul(x_BASD * cos_SD.to(x_BASD.dtype), rotated_90, sin_SD.to(x_BASD.dtype))


@lru_cache(maxsize=8)
def _rotary_tables(length: int, rotary: Rotary, device: torch.device) -> tuple[Tensor, Tensor]:
    rates = _rotary_rates(length, rotary, device)
    angles = torch.outer(_positions(length, device), rates).repeat(1, 2)
    return angles.cos() * rotary.amplitude, angles.sin() * rotary.amplitude


def _rotary_rates(length: int, rotary: Rotary, device: torch.device) -> Tensor:
    """Return the angle per position of each pair of features."""
    size, base = rotary.size, rotary.base
    if rotary.scaling == "dynamic" and length > rotary.original_context:
        grown = rotary.factor * length / rotary.original_context - (rotary.factor - 1)
        base *= grown ** (size / (size - 2))
    rates = _frequencies(base, size, size, device)
    if rotary.scaling == "linear":
        return rates / rotary.factor
    if rotary.scaling == "llama3":
        # Full turns in the original context decide how much of a rate is kept (Llama 3.1).
        turns = rotary.original_context * rates / (2 * math.pi)
        kept = (turns - rotary.low_factor) / (rotary.high_factor - rotary.low_factor)
        return _blend(rates, rotary.factor, kept.clamp(0, 1))
    if rotary.scaling == "yarn":
        return _blend(rates, rotary.factor, _yarn_share(rotary, device))
    return rates


def _yarn_share(rotary: Rotary, device: torch.device) -> Tensor:
    """Return the share of each rate that YaRN keeps: 1 for fast features, 0 for slow ones (arXiv 2309.00071, 3.2)."""

    def feature(turns: float) -> float:
        """The feature that makes so many turns in the original context."""
        reach = rotary.original_context / (turns * 2 * math.pi)
        return rotary.size * math.log(reach) / (2 * math.log(rotary.base))

    first = max(math.floor(feature(rotary.beta_fast)), 0)
    last = min(math.ceil(feature(rotary.beta_slow)), rotary.size - 1)
    span = last - first or 0.001
    ramp = (torch.arange(rotary.size // 2, device=device, dtype=torch.float32) - first) / span
    return 1 - ramp.clamp(0, 1)


def _blend(rates: Tensor, factor: float, kept: Tensor) -> Tensor:
    return rates / factor * (1 - kept) + rates * kept


def _frequencies(base: float, count: int, size: int, device: torch.device) -> Tensor:
    """Return base^(-d/size) for every even d below `count`."""
    return 1.0 / (base ** (torch.arange(0, count, 2, device=device).float() / size))


def _positions(length: int, device: torch.device) -> Tensor:
    return torch.arange(length, device=device, dtype=torch.float32)


class RelativeBias(nn.Embedding):
    """Bias of attention scores for each distance bucket and head (Raffel et al., arXiv 1910.10683, sec. 2.1).

    A tensor rank has the biases of its heads.
    """

    def __init__(self, model: Model, shard: TensorShard, causal: bool) -> None:
        super().__init__(model.relative_buckets, model.heads // shard.count)
        self.causal, self.longest = causal, model.relative_distance
        self.splits = {"weight": ParameterSplit(1, (model.heads,))}

    def forward(self, length_of: Tensor) -> Tensor:
        """Return [1, A, S, S] for ids [B, S]."""
        buckets_SS = _buckets(
            length_of.shape[1], self.num_embeddings, self.longest, self.causal, length_of.device
        )
        return super().forward(buckets_SS).permute(2, 0, 1).unsqueeze(0)


@lru_cache(maxsize=8)
def _buckets(length: int, count: int, longest: int, causal: bool, device: torch.device) -> Tensor:
    """Return [S, S]: the bucket of each query and key. The first half of a direction's buckets are single distances,
    the others grow in the logarithm up to `longest`."""
    positions = torch.arange(length, device=device)
    offset_SS = positions[None, :] - positions[:, None]
    if causal:
        first, distance_SS = torch.zeros_like(offset_SS), (-offset_SS).clamp(min=0)
    else:
        count //= 2
        first, distance_SS = (offset_SS > 0) * count, offset_SS.abs()
    exact = count // 2
    growth = (distance_SS.float().clamp(min=1) / exact).log() / math.log(longest / exact)
    far_SS = (exact + (growth * (count - exact)).long()).clamp(max=count - 1)
    return first + torch.where(distance_SS < exact, distance_SS, far_SS)

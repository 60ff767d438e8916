"""Positional encodings: sinusoidal, rotary."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

BASE = 10_000.0


@lru_cache(maxsize=4)
def sinusoidal(length: int, width: int, device: torch.device) -> Tensor:
    """Return [S, H]: sines at even features, cosines at odd ones (Vaswani et al., arXiv 1706.03762, sec. 3.5)."""
    angles = _angles(length, (width + 1) // 2, 2 / width, device)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)[:, :width]


def apply_rotary(x_BASD: Tensor) -> Tensor:
    """Rotate each pair of features (d, d + D/2) by the angle position x BASE^(-2d/D).

    The product of a query and a key then depends on their distance alone. RoFormer (Su et al., arXiv 2104.09864,
    eq. 34) with the feature pairs of Llama.
    """
    cos_SD, sin_SD = _rotary_tables(x_BASD.shape[-2], x_BASD.shape[-1], x_BASD.device)
    first, second = x_BASD.chunk(2, -1)
    rotated_90 = torch.cat((-second, first), -1)
    return torch.addcmul(x_BASD * cos_SD.to(x_BASD.dtype), rotated_90, sin_SD.to(x_BASD.dtype))


@lru_cache(maxsize=4)
def _rotary_tables(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    angles = _angles(length, size // 2, 2 / size, device).repeat(1, 2)
    return angles.cos(), angles.sin()


def _angles(length: int, count: int, power: float, device: torch.device) -> Tensor:
    positions = torch.arange(length, device=device, dtype=torch.float32)
    rates = BASE ** (-power * torch.arange(count, device=device, dtype=torch.float32))
    return torch.outer(positions, rates)

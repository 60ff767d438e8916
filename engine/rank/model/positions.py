"""How a token knows its place: fixed sine waves added to it, or queries and keys turned by an angle."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

BASE = 10_000.0


@lru_cache(maxsize=4)
def sinusoidal(length: int, width: int, device: torch.device) -> Tensor:
    """[S, H]: sines in the even places, cosines in the odd (Vaswani et al., arXiv 1706.03762, sec. 3.5)."""
    angles = _angles(length, (width + 1) // 2, 2 / width, device)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)[:, :width]


def rotated(x_BASD: Tensor) -> Tensor:
    """Each pair of features (d, d + D/2) turned by place x BASE^(-2d/D) (RoFormer, Su et al., arXiv 2104.09864, eq. 34;
    the pairing of Llama), so that a product of a query and a key depends on their distance alone."""
    cos_SD, sin_SD = _turns(x_BASD.shape[-2], x_BASD.shape[-1], x_BASD.device)
    first, second = x_BASD.chunk(2, -1)
    quarter = torch.cat((-second, first), -1)
    return torch.addcmul(x_BASD * cos_SD.to(x_BASD.dtype), quarter, sin_SD.to(x_BASD.dtype))


@lru_cache(maxsize=4)
def _turns(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    angles = _angles(length, size // 2, 2 / size, device).repeat(1, 2)
    return angles.cos(), angles.sin()


def _angles(length: int, count: int, power: float, device: torch.device) -> Tensor:
    places = torch.arange(length, device=device, dtype=torch.float32)
    rates = BASE ** (-power * torch.arange(count, device=device, dtype=torch.float32))
    return torch.outer(places, rates)

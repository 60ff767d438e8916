"""Loss scale of fp16 in DeepSpeed's wrappers."""

from __future__ import annotations

import math
from typing import Any

SCALE_FIELDS = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


def scale_holders(engine: Any) -> list[Any]:
    """The objects that hold the loss scale: a loss scaler, or a configuration."""
    names = ("loss_scaler", "loss_scale_config")
    return [getattr(engine.optimizer, name) for name in names if hasattr(engine.optimizer, name)]


def loss_scale(engine: Any) -> dict[str, float]:
    found = {}
    for holder in scale_holders(engine):
        for name in SCALE_FIELDS:
            value = getattr(holder, name, None)
            if value is not None and math.isfinite(value):
                found[name] = value
    return found

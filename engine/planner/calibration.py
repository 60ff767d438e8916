"""Corrections of predictions, learnt from ended runs on one device."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from engine.planner.estimate import Estimate

PHASES = (
    "data_wait_s",
    "forward_s",
    "backward_s",
    "communication_s",
    "bubble_s",
    "optimiser_s",
    "other_s",
)
# Margin for few runs: 25 % after one run, falling with the square root of their number.
FEW_RUNS_MARGIN = 0.25
MEMORY = "memory"  # stored as a phase: the correction of peak memory


@dataclass(frozen=True)
class PhaseCorrection:
    """Measured over predicted of one phase in one number format: median of `n` runs, 10th and 90th percentile.

    Predictions are taken without corrections, so that corrections do not accumulate.
    """

    dtype: str
    phase: str  # one of PHASES, or MEMORY
    ratio: float
    low: float
    high: float
    n: int


def fit_correction(dtype: str, phase: str, ratios: Sequence[float]) -> PhaseCorrection:
    """Build the correction of one phase from measured / predicted of each run; widened where there are few runs."""
    ratio, margin = statistics.median(ratios), 1 + FEW_RUNS_MARGIN / len(ratios) ** 0.5
    low, high = outer_deciles(ratios)
    return PhaseCorrection(
        dtype, phase, ratio, min(low, ratio / margin), max(high, ratio * margin), len(ratios)
    )


def outer_deciles(values: Sequence[float]) -> tuple[float, float]:
    """Return the 10th and 90th percentile, interpolated between neighbours."""
    if len(values) == 1:
        return values[0], values[0]
    cuts = statistics.quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[-1]


@dataclass(frozen=True)
class Calibration:
    """All corrections of one device. A run is never judged by corrections learnt from itself."""

    device: str
    corrections: tuple[PhaseCorrection, ...] = ()

    def get_correction(self, dtype: str, phase: str) -> PhaseCorrection | None:
        return next((c for c in self.corrections if c.dtype == dtype and c.phase == phase), None)

    def correct(self, dtype: str, phase: str, raw: Estimate) -> Estimate:
        """Scale an uncorrected prediction by the median and the percentiles of the runs."""
        found = self.get_correction(dtype, phase)
        if found is None:
            return raw
        return Estimate(raw.point * found.low, raw.point * found.ratio, raw.point * found.high)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Calibration:
        return _CALIBRATION.validate_python(values)


_CALIBRATION = TypeAdapter(Calibration)

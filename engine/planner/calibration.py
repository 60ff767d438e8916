"""How far predictions were off on one kind of device, learnt from runs that have ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from engine.planner.ranges import Range

PHASES = (
    "data_wait_s",
    "forward_s",
    "backward_s",
    "communication_s",
    "bubble_s",
    "optimiser_s",
    "other_s",
)
MEMORY = "memory"  # the phase under which the peak's ratio is kept


@dataclass(frozen=True)
class Correction:
    """Measured over predicted of one phase in one number format: the median of `n` runs, and its 10th and 90th
    percentile. Both sides without any correction, so that corrections do not pile up."""

    dtype: str
    phase: str  # of PHASES, or MEMORY
    ratio: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Calibration:
    """All corrections of one device. Never made from the run that is judged by it."""

    device: str
    corrections: tuple[Correction, ...] = ()

    def of(self, dtype: str, phase: str) -> Correction | None:
        return next((c for c in self.corrections if c.dtype == dtype and c.phase == phase), None)

    def applied(self, dtype: str, phase: str, raw: Range) -> Range:
        """A raw prediction put right: its point by the median; its span is the one that the runs showed."""
        found = self.of(dtype, phase)
        if found is None:
            return raw
        return Range(raw.point * found.low, raw.point * found.ratio, raw.point * found.high)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Calibration:
        return _CALIBRATION.validate_python(values)


_CALIBRATION = TypeAdapter(Calibration)

"""Position of a rank in the parallel grid."""

from __future__ import annotations

from dataclasses import dataclass

from engine.directory import RankSeat
from engine.spec.spec import Spec


@dataclass(frozen=True)
class RankPosition:
    """Position of a rank in the parallel grid."""

    rank: int
    stage: int
    data_rank: int
    data: int
    tensor_rank: int
    tensor: int

    @classmethod
    def from_seat(cls, seat: RankSeat, spec: Spec) -> RankPosition:
        parallel = spec.parallel
        return cls(seat.rank, seat.stage, seat.data_rank, parallel.data, seat.tensor_rank, parallel.tensor)

"""Grid of ranks: stages x data x tensor."""

from __future__ import annotations

from typing import NamedTuple

from engine.spec.parts import Parallel


class RankCoordinates(NamedTuple):
    stage: int
    data_rank: int
    tensor_rank: int


def rank_coordinates(parallel: Parallel) -> list[RankCoordinates]:
    """Coordinates by rank, in DeepSpeed's order: rank = (stage x data + data rank) x tensor + tensor rank. Tensor ranks
    communicate most and are neighbours; stages communicate least and are furthest apart."""
    return [
        RankCoordinates(stage, data_rank, tensor_rank)
        for stage in range(parallel.stages)
        for data_rank in range(parallel.data)
        for tensor_rank in range(parallel.tensor)
    ]


def product(parallel: Parallel) -> str:
    """'2 data x 2 tensor x 1 stages = 4 ranks', for messages."""
    factors = f"{parallel.data} data x {parallel.tensor} tensor x {parallel.stages} stages"
    return f"{factors} = {parallel.world_size} ranks"

"""The grid of ranks, stages x data x tensor, and which place in it a rank takes."""

from __future__ import annotations

from typing import NamedTuple

from engine.spec.parts import Parallel


class RankCoordinates(NamedTuple):
    stage: int
    data_rank: int
    tensor_rank: int


def rank_coordinates(parallel: Parallel) -> list[RankCoordinates]:
    """By rank: rank = (stage x data + data rank) x tensor + tensor rank, DeepSpeed's order. Tensor ranks, which talk
    most, sit side by side; stages, which talk least, are furthest apart."""
    return [
        RankCoordinates(stage, data_rank, tensor_rank)
        for stage in range(parallel.stages)
        for data_rank in range(parallel.data)
        for tensor_rank in range(parallel.tensor)
    ]


def product(parallel: Parallel) -> str:
    """'2 data x 2 tensor x 1 stages = 4 ranks', as refusals print it."""
    factors = f"{parallel.data} data x {parallel.tensor} tensor x {parallel.stages} stages"
    return f"{factors} = {parallel.world_size} ranks"

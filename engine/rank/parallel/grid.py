"""DeepSpeed's own grid for a spec: its groups of ranks for data, tensor and pipeline."""

from __future__ import annotations

from typing import Any

from deepspeed.runtime.pipe.topology import (
    PipeDataParallelTopology,
    PipelineParallelGrid,
    PipeModelDataParallelTopology,
    ProcessTopology,
)

from engine.rank.model.shard import WHOLE, Shard
from engine.spec.parts import Parallel


def topology(parallel: Parallel) -> ProcessTopology:
    """Axes in the order of engine.spec.grid; DeepSpeed calls the tensor axis 'model'."""
    if parallel.tensor == 1:
        return PipeDataParallelTopology(num_pp=parallel.stages, num_dp=parallel.data)
    return PipeModelDataParallelTopology(num_pp=parallel.stages, num_mp=parallel.tensor, num_dp=parallel.data)


def grid_of(parallel: Parallel) -> Any | None:
    """For engines without a pipeline; None where all ranks are data ranks. Collective."""
    return PipelineParallelGrid(topology=topology(parallel)) if parallel.tensor > 1 else None


def shard_of(grid: Any | None) -> Shard:
    if grid is None or grid.get_slice_parallel_world_size() == 1:
        return WHOLE
    return Shard(
        grid.get_slice_parallel_rank(), grid.get_slice_parallel_world_size(), grid.get_slice_parallel_group()
    )

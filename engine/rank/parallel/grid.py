"""DeepSpeed's process grid for a spec."""

from __future__ import annotations

from typing import Any

from deepspeed.runtime.pipe.topology import (
    PipeDataParallelTopology,
    PipelineParallelGrid,
    PipeModelDataParallelTopology,
    ProcessTopology,
)

from engine.rank.model.tensor_parallel import UNSHARDED, TensorShard
from engine.spec.parts import Parallel


def build_topology(parallel: Parallel) -> ProcessTopology:
    """Build the topology, with axes in the order of engine.spec.grid. DeepSpeed calls the tensor axis 'model'."""
    if parallel.tensor == 1:
        return PipeDataParallelTopology(num_pp=parallel.stages, num_dp=parallel.data)
    return PipeModelDataParallelTopology(num_pp=parallel.stages, num_mp=parallel.tensor, num_dp=parallel.data)


def build_grid(parallel: Parallel) -> Any | None:
    """Build the grid of an engine without a pipeline; None if all ranks are data ranks. Collective."""
    return PipelineParallelGrid(topology=build_topology(parallel)) if parallel.tensor > 1 else None


def get_tensor_shard(grid: Any | None) -> TensorShard:
    """Return the tensor shard of this rank."""
    if grid is None or grid.get_slice_parallel_world_size() == 1:
        return UNSHARDED
    return TensorShard(
        grid.get_slice_parallel_rank(), grid.get_slice_parallel_world_size(), grid.get_slice_parallel_group()
    )

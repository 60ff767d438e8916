"""Pipeline-parallel model: the list of layers divided into stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepspeed import comm
from deepspeed.pipe import LayerSpec, PipelineModule
from torch import Tensor, nn

from engine.model_math import counts
from engine.rank.model.build import build_layer, get_layer_class
from engine.rank.model.tensor_parallel import UNSHARDED
from engine.rank.parallel.grid import build_topology, get_tensor_shard
from engine.spec.spec import Spec


class PipelineModel(PipelineModule):
    """DeepSpeed pipeline module with the stages of `engine.model_math.counts.stage_bounds`.

    DeepSpeed's own partitioning counts a norm as much as a block, so its stages would differ from the planner's.
    """

    def __init__(self, spec: Spec, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._spec, self._bounds = spec, counts.stage_bounds(spec)
        layers = [IndexedLayer(spec, index) for index in range(len(counts.layer_kinds(spec)))]
        super().__init__(layers, topology=build_topology(spec.parallel), loss_fn=loss)

    def _partition_layers(self, method: str = "uniform") -> None:
        for layer in self._layer_specs:  # the grid exists from here on
            layer.shard = get_tensor_shard(self._grid)
        self.parts = [0, *(end for _, end in self._bounds)]
        self._set_bounds(*self._bounds[self.stage_id])

    def _index_tied_modules(self) -> dict[str, Any]:
        """Return the group of the first and the last stage if token embedding and head are tied.

        DeepSpeed sums the gradients of both over this group. Its TiedLayerSpec is not used, since it would give the
        weight another name than the other layouts.
        """
        if not counts.is_tied(self._spec):
            return {}
        found: dict[str, Any] = {}
        for stage_ranks in self._topo.get_axis_comm_lists("pipe"):
            ranks = [stage_ranks[0], stage_ranks[-1]]
            group = comm.new_group(ranks=ranks)
            if self.global_rank in ranks:
                found = {"token": self._describe_tie(ranks, group)}
        return found

    def _describe_tie(self, ranks: list[int], group: Any) -> dict[str, Any]:
        first = self.global_rank == ranks[0]
        module = self.get_submodule("0").token if first else self.get_submodule(str(self._num_layers - 1))
        if not first:
            module.weight.ds_pipe_replicated = True  # counted once in the gradient norm
        return {"ranks": ranks, "group": group, "weight_attr": ["weight"], "module": module}

    def get_tied_weights_and_groups(self) -> list[tuple[nn.Parameter, Any]]:
        ties = self.tied_comms.values()
        return [(tie["module"].weight, tie["group"]) for tie in ties if tie["module"].weight.requires_grad]


class IndexedLayer(LayerSpec):
    """One layer of the list, built only on its own stage."""

    def __init__(self, spec: Spec, index: int) -> None:
        super().__init__(get_layer_class(spec, index), spec)
        self._spec, self._index, self.shard = spec, index, UNSHARDED

    def build(self, log: bool = False) -> nn.Module:
        return build_layer(self._spec, self._index, self.shard)

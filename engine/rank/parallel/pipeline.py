"""The model as DeepSpeed's pipeline module: the list of layers cut into stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepspeed import comm
from deepspeed.pipe import LayerSpec, PipelineModule
from torch import Tensor, nn

from engine.model_math import counts
from engine.rank.model.build import build_layer, layer_class
from engine.rank.model.shard import WHOLE
from engine.rank.parallel.grid import shard_of, topology
from engine.spec.spec import Spec


class Stages(PipelineModule):
    """A pipeline module cut where `engine.model_math.counts.stage_bounds` cuts it.

    DeepSpeed's own methods count a norm as much as a block, so the planner would show another cut than runs.
    """

    def __init__(self, spec: Spec, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._spec, self._bounds = spec, counts.stage_bounds(spec)
        layers = [IndexedLayer(spec, index) for index in range(len(counts.layer_kinds(spec)))]
        super().__init__(layers, topology=topology(spec.parallel), loss_fn=loss)

    def _partition_layers(self, method: str = "uniform") -> None:
        for layer in self._layer_specs:  # the first moment at which the grid is there
            layer.shard = shard_of(self._grid)
        self.parts = [0, *(end for _, end in self._bounds)]
        self._set_bounds(*self._bounds[self.stage_id])

    def _index_tied_modules(self) -> dict[str, Any]:
        """The token embedding on the first stage and the head on the last, where they are one: DeepSpeed adds their
        gradients up over this group. Its TiedLayerSpec would name the weight otherwise than every other layout does."""
        if not counts.is_tied(self._spec):
            return {}
        found: dict[str, Any] = {}
        for of_all_stages in self._topo.get_axis_comm_lists("pipe"):
            ranks = [of_all_stages[0], of_all_stages[-1]]
            group = comm.new_group(ranks=ranks)
            if self.global_rank in ranks:
                found = {"token": self._tied(ranks, group)}
        return found

    def _tied(self, ranks: list[int], group: Any) -> dict[str, Any]:
        first = self.global_rank == ranks[0]
        module = self.get_submodule("0").token if first else self.get_submodule(str(self._num_layers - 1))
        if not first:
            module.weight.ds_pipe_replicated = True  # counted once in the gradient norm
        return {"ranks": ranks, "group": group, "weight_attr": ["weight"], "module": module}

    def get_tied_weights_and_groups(self) -> list[tuple[nn.Parameter, Any]]:
        return [(tie["module"].weight, tie["group"]) for tie in self.tied_comms.values()]


class IndexedLayer(LayerSpec):
    """One layer of the list, built only on the stage that holds it."""

    def __init__(self, spec: Spec, index: int) -> None:
        super().__init__(layer_class(spec, index), spec)
        self._spec, self._index, self.shard = spec, index, WHOLE

    def build(self, log: bool = False) -> nn.Module:
        return build_layer(self._spec, self._index, self.shard)

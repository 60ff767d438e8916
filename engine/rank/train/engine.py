"""DeepSpeed engine of a spec: plain, ZeRO 0-3, or a pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import deepspeed
import torch
from torch import nn

from engine.model_math import counts
from engine.rank.model.build import WholeModel
from engine.rank.model.loss import Loss
from engine.rank.parallel.grid import build_grid, get_tensor_shard
from engine.rank.parallel.pipeline import PipelineModel
from engine.rank.train.optimisers import build_optimiser
from engine.rank.train.update import Update
from engine.spec.spec import Spec

# Elements of DeepSpeed's flat reduction buffers; its default of 5e8 takes 2 GB per rank.
BUCKET_ELEMENTS = 50_000_000


def deepspeed_config(spec: Spec, dtype: str, device_kind: str) -> dict[str, Any]:
    """DeepSpeed's configuration. No other function uses its key names."""
    bucket = max(100_000, min(BUCKET_ELEMENTS, counts.parameters(spec)))
    return {
        "train_batch_size": spec.batch.global_batch_size,
        "train_micro_batch_size_per_gpu": spec.batch.micro_batch_size,
        "gradient_accumulation_steps": spec.accumulation,
        "gradient_clipping": 0.0 if _measures_norm(spec, dtype) else spec.optimiser.gradient_clip,
        "bf16": {"enabled": dtype == "bf16"},
        "fp16": {"enabled": dtype == "fp16", "initial_scale_power": 16},
        "zero_optimization": {
            "stage": spec.zero_stage_in(dtype),
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            "overlap_comm": device_kind == "cuda",
            # With gloo, reduce-scatter is an all-reduce with two more copies of every gradient.
            "reduce_scatter": device_kind == "cuda",
            # Smaller parameters are not sharded. DeepSpeed's default of 1e5 would not shard small models at all;
            # ten times the width leaves only norms and biases whole (the rule of Hugging Face's "auto").
            "stage3_param_persistence_threshold": 10 * spec.model.width,
            **_offload(spec, device_kind),
        },
        # Stages exchange whole tensors: DeepSpeed can partition a single tensor only.
        "pipeline": {"pipe_partitioned": False, "grad_partitioned": False},
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,  # it needs compilation; torch's fused optimisers are as fast
        "steps_per_print": None,
        "wall_clock_breakdown": False,
    }


def build_engine(
    spec: Spec,
    dtype: str,
    device_kind: str,
    loss: Loss,
    update: Update,
    load_frozen: Callable[[nn.Module], None] = lambda model: None,
) -> tuple[Any, torch.optim.Optimizer]:
    """DeepSpeed's engine, and the optimiser whose param_groups hold the learning rate. `load_frozen` sets the weights
    that are not trained. Collective: every rank calls it once, after init_distributed."""
    model: nn.Module
    if spec.parallel.stages > 1:
        model = PipelineModel(spec, loss)
        grid, mpu = model.mpu(), None  # DeepSpeed gets it from the model
    else:
        grid = mpu = build_grid(spec.parallel)
        model = WholeModel(spec, get_tensor_shard(grid))
    load_frozen(model)
    optimiser = build_optimiser(spec, model)
    if not spec.optimiser.row.has_closure:
        update.attach(optimiser, grid, _measures_norm(spec, dtype))
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimiser,
        mpu=mpu,
        config=deepspeed_config(spec, dtype, device_kind),
        dist_init_required=False,
    )
    if spec.parallel.data == 1 and _measures_norm(spec, dtype):
        # With one rank the all-reduce only copies every gradient three times, 1 % of a step.
        engine.enable_backward_allreduce = False
    update.engine = engine
    return engine, optimiser


def _offload(spec: Spec, device_kind: str) -> dict[str, Any]:
    """Pinned memory speeds up copies to a GPU; on a CPU it would need a compiled op."""
    parts = {
        "offload_optimizer": spec.parallel.offload_optimiser,
        "offload_param": spec.parallel.offload_parameters,
    }
    pinned = device_kind == "cuda"
    return {key: {"device": "cpu", "pin_memory": pinned} for key, place in parts.items() if place == "host"}


def _measures_norm(spec: Spec, dtype: str) -> bool:
    """Whether our code measures the gradient norm: DeepSpeed 0.19.8 does not report it for ZeRO 0 in fp32."""
    return spec.zero_stage_in(dtype) == 0 and dtype in ("fp32", "tf32")

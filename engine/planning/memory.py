"""Memory of each pipeline stage's devices, component by component."""

from __future__ import annotations

from engine import arithmetic
from engine.planning.answers import StageMemory
from engine.planning.profile import DeviceProfile
from engine.spec import Spec

BYTES = {"fp32": 4, "tf32": 4, "bf16": 2, "fp16": 2}

# Saved activations of one block in bytes per (sequence x width) element, measured with saved-tensor hooks on
# pre-norm GELU blocks with fused attention: 64.1 in fp32, 46.1 in bf16; 4.0 / 2.0 when the block is recomputed.
ACTIVATION_BYTES = {4: 64.1, 2: 46.1}
ACTIVATION_BYTES_RECOMPUTED = {4: 4.0, 2: 2.0}


def stage_memory(spec: Spec, dtype: str, stage: int, profile: DeviceProfile | None) -> StageMemory:
    count = arithmetic.stage_parameters(spec)[stage]
    start, end = arithmetic.stage_bounds(spec)[stage]
    stages, ranks = spec.parallel.stages, spec.parallel.data
    zero, width = spec.parallel.zero_stage, BYTES[dtype]
    # Adam keeps two moments in fp32, plus an fp32 master copy when the parameters are 16-bit (ZeRO paper, sec. 3);
    # SGD keeps one momentum.
    state = (8 if spec.optimiser.name in ("adamw", "adam") else 4) + (4 if width == 2 else 0)
    blocks = sum(1 for layer in range(start, end) if 1 <= layer <= spec.model.layers)
    tokens = spec.batch.micro_batch_size * spec.model.context
    recomputes = spec.parallel.activation_checkpointing == "full"
    table = ACTIVATION_BYTES_RECOMPUTED if recomputes else ACTIVATION_BYTES
    in_flight = min(stages - stage, max(1, spec.accumulation))
    activations = in_flight * blocks * tokens * spec.model.width * table[width]
    if recomputes and blocks:
        activations += tokens * spec.model.width * ACTIVATION_BYTES[width]
    # On the last stage: the logits, their fp32 softmax and its gradient.
    logits = tokens * spec.vocab_size * (width + 8) if stage == stages - 1 else 0
    return StageMemory(
        stage=stage,
        parameters_bytes=count * width / (ranks if zero == 3 else 1),
        gradients_bytes=count * width / (ranks if zero >= 2 else 1),
        optimiser_bytes=count * state / (ranks if zero >= 1 else 1),
        activations_bytes=activations,
        logits_bytes=logits,
        framework_bytes=profile.framework_bytes if profile else 0,
    )

"""Activation memory of a pipeline stage, from the table in `constants`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from engine.model_math import counts as arithmetic
from engine.model_math.counts import LayerKind
from engine.planner import block_fields, constants, frozen
from engine.planner.shapes import SUBLAYERS as SUBLAYERS
from engine.planner.shapes import StageShape as StageShape
from engine.planner.shapes import stage_shapes as stage_shapes
from engine.planner.traits import OWN, EngineTraits
from engine.spec.parts import Model, Parallel, Recompute
from engine.spec.spec import Spec

TABLE_DTYPE = {"fp32": "fp32", "tf32": "fp32", "bf16": "bf16", "fp16": "bf16"}
# For each logit its log-probability, the gradient of that, and its own gradient. All are fp32, as the loss is; two of
# the three exist in the forward pass. Every tensor rank computes all logits (engine.rank.model.heads).
LOGITS_BYTES = 12
# Eager torch operations of one adapter, forward and backward.
ADAPTER_OPERATIONS = (4, 9)
# Generations without a FlashAttention kernel in torch.
NO_FLASH = ("volta", "turing")


@dataclass(frozen=True, slots=True)
class ActivationMemory:
    """Bytes on one device, and the operations behind them."""

    micro_batch: float  # activations of each micro-batch in flight
    passing: float  # one block in the forward pass when only its input is kept
    working: float  # one recomputed block in the backward pass, with its gradients
    buffers: float  # pipeline send and receive buffers
    logits: float  # at the start of the backward pass
    operations: tuple[int, int]  # eager torch operations of a micro-batch: forward, backward


@dataclass(frozen=True, slots=True)
class DeviceTraits:
    """What activations depend on beside the spec: the device, and the trainer."""

    on_cuda: bool
    architecture: str = ""
    trainer: EngineTraits = OWN


def activation_memory(spec: Spec, dtype: str, shape: StageShape, device: DeviceTraits) -> ActivationMemory:
    """Compute the activation memory of one micro-batch on one device of the stage."""
    tokens = spec.batch.micro_batch_size * spec.model.context
    stream = _stream_bytes(spec, dtype, device)
    alive = _alive_bytes(spec, dtype)
    micro = working = 0.0
    forward = backward = 0
    parallel = spec.parallel
    for kind, many in shape.blocks.items():
        held, again, ahead, back = _block_activations(
            spec.model, parallel.tensor, parallel.activation_checkpointing, dtype, kind, device
        )
        micro += many * held
        forward += many * ahead
        backward += many * back
        working = max(working, again + alive)
    micro += sum(_end_bytes(spec, kind, stream, device) for kind in shape.ends)
    if spec.adapter.is_on:
        changed = _frozen_change(spec, dtype, shape, device)
        micro, working = micro + changed[0], max(0.0, working + changed[1])
        own = frozen.count_adapters(spec, *arithmetic.stage_bounds(spec)[shape.stage])
        forward, backward = forward + ADAPTER_OPERATIONS[0] * own, backward + ADAPTER_OPERATIONS[1] * own
    forward, backward = forward + 6 * len(shape.ends), backward + 10 * len(shape.ends)
    passing = alive if shape.blocks and spec.parallel.activation_checkpointing == "full" else 0.0
    return ActivationMemory(
        tokens * micro, tokens * passing, tokens * working, tokens * _pipe_bytes(spec, shape, stream),
        tokens * _logits_bytes(spec, dtype, shape, device.trainer), (forward, backward),
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _block_activations(
    model: Model, tensor: int, recompute: Recompute, dtype: str, kind: LayerKind, device: DeviceTraits
) -> tuple[float, float, int, int]:
    """Bytes per token that a block keeps and computes again, and its operations forward and backward. Cached, because a
    search asks for the same few in thousands of plans."""
    spec = Spec(model=model, parallel=Parallel(tensor=tensor, activation_checkpointing=recompute))
    rows = [table_row(spec, dtype, name) for name in SUBLAYERS[kind]]
    held, again, repeated = _recomputation(spec, dtype, kind, device)
    ahead = sum(row["forward"] for row in rows)
    return held, again, ahead, sum(row["backward"] for row in rows) + repeated


def _recomputation(spec: Spec, dtype: str, kind: LayerKind, device: DeviceTraits) -> tuple[float, float, int]:
    """Bytes per token that a block keeps and that it computes again, beside what runs, and the repeated operations."""
    recompute, trainer, tensor = spec.parallel.activation_checkpointing, device.trainer, spec.parallel.tensor
    whole = {name: bytes_per_token(spec, dtype, name, device) for name in SUBLAYERS[kind]}
    ahead = {name: table_row(spec, dtype, name)["forward"] for name in whole}
    stream, value = _stream_bytes(spec, dtype, device), _value_bytes(dtype)
    if recompute == "none":
        return sum(whole.values()), 0.0, 0
    if recompute == "full":
        return stream, sum(whole.values()), sum(ahead.values())
    if trainer.recomputes_core:
        core = replace(device, trainer=replace(trainer, has_fused_attention=True))
        held = sum(bytes_per_token(spec, dtype, name, core) for name in whole)
        return held, max(whole.values()), 0
    if trainer.recomputes_operations:  # the output of attention and of every other product is kept
        products = 4 * spec.model.width + 2 * spec.model.ffn_width
        held = stream + value * (spec.model.width + products / 2) / tensor
        return held, max(whole.values()), sum(ahead.values()) // 2
    attentions = [name for name in whole if name != "feed_forward"]
    # Gradients of query, key, value and input; the feed-forward's activations are gone by then.
    running = max(whole[name] for name in attentions) + value * (
        spec.model.width + 3 * spec.model.query_width / tensor
    )
    again = max(0.0, running - whole["feed_forward"] - _alive_bytes(spec, dtype))
    held = whole["feed_forward"] + stream * len(attentions)
    return held, again, sum(ahead[name] for name in attentions)


def _frozen_change(spec: Spec, dtype: str, shape: StageShape, device: DeviceTraits) -> tuple[float, float]:
    """Bytes per token that frozen blocks with adapters keep more (or less), and that one recomputed block has more."""
    start, end = arithmetic.stage_bounds(spec)[shape.stage]
    kinds, recompute, value = (
        arithmetic.layer_kinds(spec),
        spec.parallel.activation_checkpointing,
        _value_bytes(dtype),
    )
    kept, recomputed = 0.0, [0.0] if recompute == "none" else []
    for layer in range(start, end):
        again = 0.0
        for name in SUBLAYERS.get(kinds[layer], ()):
            change = frozen.changed_bytes(spec, layer, name, value, device.on_cuda)
            if recompute == "none" or (recompute == "selective" and name == "feed_forward"):
                kept += change
            else:
                again += change
        if recompute != "none" and kinds[layer] in SUBLAYERS:
            recomputed.append(again)
    return kept, max(recomputed, default=0.0)


def _value_bytes(dtype: str) -> int:
    return 2 if TABLE_DTYPE[dtype] == "bf16" else 4


def _stream_bytes(spec: Spec, dtype: str, device: DeviceTraits) -> int:
    whole = spec.parallel.tensor if device.trainer.splits_sequence else 1
    return spec.model.width * _value_bytes(dtype) // whole


def _alive_bytes(spec: Spec, dtype: str) -> float:
    """Bytes per token of a running block: two tensors of feed-forward width and two of model width, or their
    gradients."""
    return _value_bytes(dtype) * (2 * spec.model.ffn_width / spec.parallel.tensor + 2 * spec.model.width)


def table_row(spec: Spec, dtype: str, sublayer: str) -> dict[str, int]:
    model = spec.model
    special = model.is_gated if sublayer == "feed_forward" else model.positions == "rotary"
    row = "attention" if sublayer == "window_attention" else sublayer
    key = constants.row_key(
        row, TABLE_DTYPE[dtype], model.norm, special, model.dropout > 0, model.num_kv_heads < model.heads
    )
    return constants.rows()[key]


def bytes_per_token(spec: Spec, dtype: str, sublayer: str, device: DeviceTraits) -> float:
    """Bytes per token of one sublayer on one tensor rank."""
    model, tensor = spec.model, spec.parallel.tensor
    row = table_row(spec, dtype, sublayer)
    whole = tensor if device.trainer.splits_sequence else 1
    return (
        row.get("width", 0) * model.width / whole + row.get("queries", 0) * model.query_width / tensor
        + row.get("keys", 0) * model.kv_width / tensor + row.get("ffn", 0) * model.ffn_width / tensor
        + row.get("heads", 0) * model.heads / tensor + row.get("token", 0)
        + _score_bytes(spec, dtype, sublayer, row.get("scores", 0), device)
        + block_fields.extra_bytes(spec, _value_bytes(dtype), sublayer, device.on_cuda, whole)
    )  # fmt: skip


def _score_bytes(spec: Spec, dtype: str, sublayer: str, traced: int, device: DeviceTraits) -> float:
    """Bytes per token for attention scores. The table was traced on a CPU, whose kernel keeps all scores with dropout.
    A fused kernel of CUDA applies dropout itself and keeps one number per head and token."""
    heads, context = spec.model.heads / spec.parallel.tensor, spec.model.context
    if sublayer == "feed_forward":
        return 0.0
    if (
        sublayer != "cross_attention"
        and (kept := block_fields.score_bytes(spec, _value_bytes(dtype))) is not None
    ):
        return kept * heads * context
    if not device.on_cuda:
        return traced * heads * context
    if keeps_scores(spec, dtype, sublayer, device):
        dropped = 5 if spec.model.dropout else 0  # mask, and probabilities after it
        return (block_fields.MATH_SCORES_BYTES[_value_bytes(dtype)] + dropped) * heads * context
    return 4 * heads if traced else 0.0


def keeps_scores(spec: Spec, dtype: str, sublayer: str, device: DeviceTraits) -> bool:
    """Whether torch's attention on CUDA falls back to its unfused kernel. Shared key/value heads (enable_gqa) exist
    only there and in FlashAttention, which needs 16 bits, no mask and an Ampere or newer device."""
    if not device.trainer.has_fused_attention:
        return True
    window = spec.model.window
    is_windowed = sublayer == "window_attention" and window is not None and window < spec.model.context
    is_masked = sublayer in ("masked_attention", "cross_attention") or is_windowed
    no_flash = TABLE_DTYPE[dtype] == "fp32" or is_masked or device.architecture in NO_FLASH
    return no_flash and spec.model.num_kv_heads < spec.model.heads


def _end_bytes(spec: Spec, kind: LayerKind, stream: int, device: DeviceTraits) -> float:
    """Embedding: token ids. Norm: input, mean and deviation. Head: input. A frozen embedding or head keeps nothing."""
    if spec.adapter.is_on and kind in ("embed", "head"):
        value = stream // spec.model.width
        return (
            frozen.head_bytes(spec, value, device.on_cuda)
            if kind == "head"
            else float(bool(spec.model.dropout))
        )
    dropped = spec.model.width if spec.model.dropout else 0
    embed = 8 + dropped + (stream + 8 if spec.model.embedding_norm else 0)
    # The transform keeps its input, that of the activation, and that of the norm.
    head = 4 * stream if spec.model.head_transform else stream
    return {"embed": embed, "head": head, "class_head": stream}.get(kind, stream + 8)


def _logits_bytes(spec: Spec, dtype: str, shape: StageShape, trainer: EngineTraits) -> float:
    """Bytes per token of the micro-batch."""
    if "head" not in shape.ends:
        return 0.0
    logits = spec.vocab_size / (spec.parallel.tensor if trainer.splits_head else 1)
    if trainer.logit_bytes is not None:
        return trainer.logit_bytes * logits
    each = LOGITS_BYTES + (_value_bytes(dtype) if spec.model.logit_softcap else 0)  # the result of tanh
    if trainer.loss_chunk_tokens is not None:
        tokens = spec.batch.micro_batch_size * spec.model.context
        return each * logits * min(1.0, trainer.loss_chunk_tokens / tokens)
    if spec.parallel.stages == 1:
        return each * logits
    # DeepSpeed's pipeline also keeps the output of each micro-batch until its buffer is reused.
    return (each + 4 * min(2, spec.accumulation)) * logits


def _pipe_bytes(spec: Spec, shape: StageShape, stream: int) -> float:
    """Outputs to send and gradients received, one for each buffer of the schedule."""
    stages = spec.parallel.stages
    if stages == 1:
        return 0.0
    buffers = max(2, min(stages - shape.stage, spec.accumulation))
    sides = (shape.stage > 0) + (shape.stage < stages - 1)
    tensors = 2 if spec.model.family == "encoder-decoder" else 1
    return float(buffers * sides * tensors * stream)

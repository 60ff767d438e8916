"""Activation memory of a pipeline stage, from the table in `constants`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache

from engine.model_math import adapters, flops
from engine.model_math import counts as arithmetic
from engine.model_math.counts import LayerKind
from engine.planner import constants, frozen
from engine.planner.traits import OWN, EngineTraits
from engine.spec.parts import Adapter, Data, Model, Parallel, Recompute
from engine.spec.spec import Spec

SUBLAYERS: dict[str, tuple[str, ...]] = {
    "decoder_block": ("attention", "feed_forward"),
    "window_block": ("window_attention", "feed_forward"),
    "encoder_block": ("masked_attention", "feed_forward"),
    "cross_block": ("attention", "cross_attention", "feed_forward"),
}
TABLE_DTYPE = {"fp32": "fp32", "tf32": "fp32", "bf16": "bf16", "fp16": "bf16"}
# For each logit its log-probability, the gradient of that, and its own gradient. All are fp32, as the loss is; two of
# the three exist in the forward pass. Every tensor rank computes all logits (engine.rank.model.heads).
LOGITS_BYTES = 12
# Scores kept by torch's unfused attention: probabilities in fp32, and in the number format.
MATH_SCORES_BYTES = {"fp32": 4, "bf16": 6}
# Eager torch operations of one adapter, forward and backward.
ADAPTER_OPERATIONS = (4, 9)
# Generations without a FlashAttention kernel in torch.
NO_FLASH = ("volta", "turing")


@dataclass(frozen=True, slots=True)
class StageShape:
    """Parameters and work of one pipeline stage."""

    stage: int
    blocks: dict[LayerKind, int]  # kind -> how many
    ends: tuple[LayerKind, ...]  # other layers: embedding, norm, head
    parameters: int  # with those of adapters
    trained: int  # of them; the others are frozen
    forward: flops.Forward  # all layers, one sequence, all tensor ranks together
    num_tensors: int  # parameter tensors
    largest_tensor: int  # elements of the largest one on a tensor rank
    vocabulary: int  # parameters in tables of tokens: embedding, head


@dataclass(frozen=True, slots=True)
class ActivationMemory:
    """Bytes on one device, and the operations behind them."""

    micro_batch: float  # activations of each micro-batch in flight
    passing: float  # one block in the forward pass when only its input is kept
    working: float  # one recomputed block in the backward pass, with its gradients
    buffers: float  # pipeline send and receive buffers
    logits: float  # at the start of the backward pass
    operations: tuple[int, int]  # eager torch operations of a micro-batch: forward, backward


def stage_shapes(spec: Spec, trainer: EngineTraits = OWN) -> tuple[StageShape, ...]:
    """Return the shape of every stage. Cached, because a search asks for the same few repeatedly."""
    shapes, tensor = (
        _shapes(spec.model, spec.data, spec.adapter, spec.parallel.stages, spec.parallel.tensor),
        spec.parallel.tensor,
    )
    is_frozen = spec.adapter.is_on
    if tensor == 1 or not trainer.splits_head:
        return shapes
    return tuple(
        replace(
            shape,
            parameters=shape.parameters - removed,
            trained=shape.trained - (0 if is_frozen else removed),
        )
        for shape in shapes
        for removed in (shape.vocabulary - shape.vocabulary // tensor,)
    )


@lru_cache(maxsize=512)
def _shapes(model: Model, data: Data, adapter: Adapter, stages: int, tensor: int) -> tuple[StageShape, ...]:
    spec = Spec(model=model, data=data, adapter=adapter, parallel=Parallel(stages=stages, tensor=tensor))
    kinds, work = arithmetic.layer_kinds(spec), flops.layers(spec)
    counts, layers_trained = arithmetic.stage_parameters(spec), adapters.trained_per_layer(spec)
    found = []
    for stage, (start, end) in enumerate(arithmetic.stage_bounds(spec)):
        own = kinds[start:end]
        blocks = Counter(kind for kind in own if kind in SUBLAYERS)
        ends = tuple(kind for kind in own if kind not in SUBLAYERS)
        layers = work[start:end]
        forward = flops.Forward(
            sum(one.matrices for one in layers), sum(one.scores for one in layers),
            sum(one.needed_scores for one in layers), sum(one.again for one in layers),
        )  # fmt: skip
        tensors = sum(8 * len(SUBLAYERS[kind]) // 2 * many for kind, many in blocks.items()) + 2 * len(ends)
        largest, tables = _largest_tensor(spec, bool(blocks), ends), len({"embed", "head"} & set(ends))
        if arithmetic.is_tied(spec) and stages == 1:
            tables = 1
        vocabulary = tables * spec.vocab_size * model.width
        total = trained = counts[stage]
        if adapter.is_on:
            trained = sum(count.on_a_rank(tensor) for count in layers_trained[start:end])
            total += trained - (sum(arithmetic.count_of(spec, "class_head")) if "class_head" in ends else 0)
        found.append(
            StageShape(stage, dict(blocks), ends, total, trained, forward, tensors, largest, vocabulary)
        )
    return tuple(found)


def _largest_tensor(spec: Spec, has_blocks: bool, ends: tuple[LayerKind, ...]) -> int:
    model, tensor = spec.model, spec.parallel.tensor
    queries = model.query_width + 2 * model.kv_width
    block = model.width * max(model.ffn_width, queries) // tensor if has_blocks else 0
    return max(block, spec.vocab_size * model.width if {"embed", "head"} & set(ends) else 0)


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
        tokens * _logits_bytes(spec, shape, device.trainer), (forward, backward),
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
        + _norm_bytes(spec, dtype, sublayer, whole)
    )  # fmt: skip


def _norm_bytes(spec: Spec, dtype: str, sublayer: str, whole: int) -> float:
    """Bytes per token of norms that the traced blocks do not have: each keeps its input and two numbers a row."""
    model, tensor, value = spec.model, spec.parallel.tensor, _value_bytes(dtype)
    found = value * model.width / whole + 8 if model.norm_position == "sandwich" else 0.0
    if sublayer in ("feed_forward", "cross_attention") or model.qk_norm == "none":
        return found
    rows = 1 if model.qk_norm == "full" else (model.heads + model.num_kv_heads) / tensor
    return found + value * (model.query_width + model.kv_width) / tensor + 8 * rows


def _score_bytes(spec: Spec, dtype: str, sublayer: str, traced: int, device: DeviceTraits) -> float:
    """Bytes per token for attention scores. The table was traced on a CPU, whose kernel keeps all scores with dropout.
    A fused kernel of CUDA applies dropout itself and keeps one number per head and token."""
    heads, context = spec.model.heads / spec.parallel.tensor, spec.model.context
    if sublayer == "feed_forward":
        return 0.0
    if sublayer != "cross_attention" and (kept := _kept_scores(spec, dtype)) is not None:
        return kept * heads * context
    if not device.on_cuda:
        return traced * heads * context
    if keeps_scores(spec, dtype, sublayer, device):
        dropped = 5 if spec.model.dropout else 0  # mask, and probabilities after it
        return (MATH_SCORES_BYTES[TABLE_DTYPE[dtype]] + dropped) * heads * context
    return 4 * heads if traced else 0.0


def _kept_scores(spec: Spec, dtype: str) -> float | None:
    """Bytes for each score that self-attention keeps because of a field of the model; None: it keeps no scores.

    A soft-cap: the results of tanh and softmax (traced: 8 bytes in both formats). Relative positions: the bias.
    """
    model, value = spec.model, _value_bytes(dtype)
    if model.attention_softcap:
        return 8 + (value + 1 if model.dropout else 0)
    return value if model.positions == "relative" else None


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


def _logits_bytes(spec: Spec, shape: StageShape, trainer: EngineTraits) -> float:
    """Bytes per token of the micro-batch."""
    if "head" not in shape.ends:
        return 0.0
    logits = spec.vocab_size / (spec.parallel.tensor if trainer.splits_head else 1)
    if trainer.logit_bytes is not None:
        return trainer.logit_bytes * logits
    if trainer.loss_chunk_tokens is not None:
        tokens = spec.batch.micro_batch_size * spec.model.context
        return LOGITS_BYTES * logits * min(1.0, trainer.loss_chunk_tokens / tokens)
    if spec.parallel.stages == 1:
        return LOGITS_BYTES * logits
    # DeepSpeed's pipeline also keeps the output of each micro-batch until its buffer is reused.
    return (LOGITS_BYTES + 4 * min(2, spec.accumulation)) * logits


def _pipe_bytes(spec: Spec, shape: StageShape, stream: int) -> float:
    """Outputs to send and gradients received, one for each buffer of the schedule."""
    stages = spec.parallel.stages
    if stages == 1:
        return 0.0
    buffers = max(2, min(stages - shape.stage, spec.accumulation))
    sides = (shape.stage > 0) + (shape.stage < stages - 1)
    tensors = 2 if spec.model.family == "encoder-decoder" else 1
    return float(buffers * sides * tensors * stream)

"""What a stage's layers hold for the backward pass, from the table that was traced from our own blocks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from engine.model_math import counts as arithmetic
from engine.model_math import flops
from engine.model_math.counts import LayerKind
from engine.planner import constants
from engine.spec.parts import Data, Model, Parallel
from engine.spec.spec import Spec

SUBLAYERS: dict[str, tuple[str, ...]] = {
    "decoder_block": ("attention", "feed_forward"),
    "encoder_block": ("masked_attention", "feed_forward"),
    "cross_block": ("attention", "cross_attention", "feed_forward"),
}
TABLE_DTYPE = {"fp32": "fp32", "tf32": "fp32", "bf16": "bf16", "fp16": "bf16"}
# Of each logit: its log-probability, the gradient of that, and its own gradient, all in 32 bits whatever the model
# computes in (the loss is); two of the three in the forward pass.
LOGITS_BYTES = 12


@dataclass(frozen=True, slots=True)
class StageShape:
    """What one rank of a pipeline stage has to hold and to compute."""

    stage: int
    blocks: dict[LayerKind, int]  # kind -> how many
    ends: tuple[LayerKind, ...]  # layers that are no blocks
    parameters: int
    forward: flops.Forward  # of all its layers, one sequence, all tensor ranks together
    num_tensors: int  # parameter tensors


@dataclass(frozen=True, slots=True)
class Held:
    micro_batch: float  # bytes of activations of each micro-batch in flight
    passing: float  # of one block while it runs forward and nothing is kept of it but its input
    working: float  # of one recomputed block, and the gradients that pass through it
    buffers: float  # of the pipeline, for what is sent and received
    logits: float  # when the backward pass begins
    operations: tuple[int, int]  # forward, backward: what eager torch is asked to do for a micro-batch


def stage_shapes(spec: Spec) -> tuple[StageShape, ...]:
    """Of a model cut into stages and tensor ranks; a search asks for the same few again and again."""
    return _shapes(spec.model, spec.data, spec.parallel.stages, spec.parallel.tensor)


@lru_cache(maxsize=512)
def _shapes(model: Model, data: Data, stages: int, tensor: int) -> tuple[StageShape, ...]:
    spec = Spec(model=model, data=data, parallel=Parallel(stages=stages, tensor=tensor))
    kinds, work = arithmetic.layer_kinds(spec), flops.layers(spec)
    counts = arithmetic.stage_parameters(spec)
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
        found.append(StageShape(stage, dict(blocks), ends, counts[stage], forward, tensors))
    return tuple(found)


def held_by(spec: Spec, dtype: str, shape: StageShape, on_cuda: bool) -> Held:
    """Bytes on one device, from the sizes of one micro-batch."""
    model, recompute = spec.model, spec.parallel.activation_checkpointing
    tokens = spec.batch.micro_batch_size * model.context
    width = 2 if TABLE_DTYPE[dtype] == "bf16" else 4
    stream = model.width * width
    micro = working = passing = 0.0
    forward = backward = 0
    for kind, many in shape.blocks.items():
        each = {name: row_of(spec, dtype, name) for name in SUBLAYERS[kind]}
        whole = {name: bytes_of(spec, row, on_cuda) for name, row in each.items()}
        ahead = sum(row["forward"] for row in each.values())
        back = sum(row["backward"] for row in each.values())
        # Two tensors of the feed-forward's width, two of the stream's: of a block that runs, or their gradients.
        alive = width * (2 * model.ffn_width / spec.parallel.tensor + 2 * model.width)
        if recompute == "full":
            held, again = float(stream), sum(whole.values())
            passing = max(passing, alive)
            back += ahead
        elif recompute == "selective":
            looks = [name for name in each if name != "feed_forward"]
            held = whole["feed_forward"] + stream * len(looks)
            again = max(whole[name] for name in looks)
            back += sum(each[name]["forward"] for name in looks)
        else:
            held, again = sum(whole.values()), 0.0
        micro += many * held
        forward, backward = forward + many * ahead, backward + many * back
        working = max(working, again + alive)
    micro += sum(_end_bytes(spec, kind, stream) for kind in shape.ends)
    forward, backward = forward + 6 * len(shape.ends), backward + 10 * len(shape.ends)
    return Held(
        tokens * micro, tokens * passing, tokens * working, tokens * _pipe_bytes(spec, shape, stream),
        tokens * _logits_bytes(spec, shape), (forward, backward),
    )  # fmt: skip


def row_of(spec: Spec, dtype: str, sublayer: str) -> dict[str, int]:
    model = spec.model
    special = model.feed_forward == "swiglu" if sublayer == "feed_forward" else model.positions == "rotary"
    key = constants.key_of(
        sublayer, TABLE_DTYPE[dtype], model.norm, special, model.dropout > 0, model.num_kv_heads < model.heads
    )
    return constants.rows()[key]


def bytes_of(spec: Spec, row: dict[str, int], on_cuda: bool) -> float:
    """Bytes per token of one sublayer on one tensor rank. On CUDA fused attention drops out inside its kernel and
    keeps one number per head and token, where a CPU keeps all scores."""
    model, tensor = spec.model, spec.parallel.tensor
    keys = model.num_kv_heads * (model.width // model.heads)
    heads = model.heads / tensor
    scores = row.get("scores", 0)
    per_score = 4 * heads if on_cuda and scores else scores * heads * model.context
    return (
        row.get("width", 0) * model.width + row.get("queries", 0) * model.width / tensor
        + row.get("keys", 0) * keys / tensor + row.get("ffn", 0) * model.ffn_width / tensor
        + row.get("heads", 0) * heads + row.get("token", 0) + per_score
    )  # fmt: skip


def _end_bytes(spec: Spec, kind: LayerKind, stream: int) -> float:
    """Ids of the embedding; the input of a norm with its mean and deviation; the input of a head."""
    dropped = spec.model.width if spec.model.dropout else 0
    return {"embed": 8 + dropped, "head": stream, "class_head": stream}.get(kind, stream + 8)


def _logits_bytes(spec: Spec, shape: StageShape) -> float:
    if "head" not in shape.ends:
        return 0.0
    if spec.parallel.stages == 1:
        return LOGITS_BYTES * spec.vocab_size
    # DeepSpeed's pipeline also keeps each micro-batch's output until its buffer is used again.
    return (LOGITS_BYTES + 4 * min(2, spec.accumulation)) * spec.vocab_size


def _pipe_bytes(spec: Spec, shape: StageShape, stream: int) -> float:
    """Outputs that wait to be sent and gradients that were received, one for each of the schedule's buffers."""
    stages = spec.parallel.stages
    if stages == 1:
        return 0.0
    buffers = max(2, min(stages - shape.stage, spec.accumulation))
    sides = (shape.stage > 0) + (shape.stage < stages - 1)
    tensors = 2 if spec.model.family == "encoder-decoder" else 1
    return float(buffers * sides * tensors * stream)

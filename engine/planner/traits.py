"""Traits of the trainer that a plan is made for.

The default is this engine. Other values describe published runs of other trainers, and what this engine may learn.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineTraits:
    """What a trainer does differently from another with the same spec."""

    splits_head: bool = False  # tensor ranks share embedding, head and logits (vocabulary-parallel)
    loss_chunk_tokens: int | None = None  # logits exist for this many tokens at a time; None: for all
    logit_bytes: float | None = None  # of a fused cross-entropy; None: as engine.rank.model.loss
    splits_sequence: bool = False  # sequence parallelism: tensor ranks share norms and the residual stream
    is_compiled: bool = False  # pointwise operations are fused (torch.compile, or fused kernels)
    has_fused_attention: bool = True  # scores never reach memory (FlashAttention); else they are kept
    # Selective recomputation repeats scores and softmax only (Megatron-LM), or everything but attention and every other
    # product (torchtitan); else each attention with its projections.
    recomputes_core: bool = False
    recomputes_operations: bool = False
    saved_share: float = 1.0  # of the bytes that this engine's blocks keep for the backward pass
    stage_chunks: int = 1  # interleaved pipeline schedule: model chunks of each stage


OWN = EngineTraits()

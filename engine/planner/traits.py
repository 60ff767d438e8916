"""Traits of the trainer that a plan is made for.

The default is this engine. Other values describe published runs of other trainers, and what this engine may learn.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EngineTraits:
    """What a trainer does differently from another with the same spec."""

    splits_head: bool = (
        False  # tensor ranks each compute their share of the logits (vocabulary-parallel head)
    )
    loss_chunk_tokens: int | None = None  # logits exist for this many tokens at a time; None: for all
    splits_sequence: bool = False  # sequence parallelism: tensor ranks share norms and the residual stream
    is_compiled: bool = False  # pointwise operations are fused (torch.compile, or fused kernels)
    has_fused_attention: bool = True  # scores never reach memory (FlashAttention); else they are kept
    recomputes_core: bool = (
        False  # selective recomputation repeats scores and softmax only, as Megatron-LM does
    )
    stage_chunks: int = 1  # interleaved pipeline schedule: model chunks of each stage


OWN = EngineTraits()

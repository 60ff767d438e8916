"""Greedy decoding in batches, up to the end token or a limit.

Shapes: B texts in a batch, S positions of the longest so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from deepspeed import comm

from engine.data.paired import TokenIds
from engine.data.special_tokens import PADDING, SpecialTokens

Forward = Callable[[Any], torch.Tensor]  # ids -> logits [B, S, V]


def generate_answers(
    forward: Forward, sources: list[TokenIds], limit: int, special: SpecialTokens, device: torch.device
) -> list[TokenIds]:
    """Generate an encoder-decoder's output for each source. Collective: all ranks continue until all have ended."""
    longest = max(len(source) for source in sources)
    source_BS = np.full((len(sources), longest), PADDING, np.int64)
    for row, source in enumerate(sources):
        source_BS[row, : len(source)] = source
    source = torch.from_numpy(source_BS).to(device)
    begin = [np.array([special.begin]) for _ in sources]
    return _decode_greedily(lambda target: forward((source, target)), begin, limit, special, device)


def generate_continuations(
    forward: Forward, prompts: list[TokenIds], limit: int, special: SpecialTokens, device: torch.device
) -> list[TokenIds]:
    """Generate a decoder's continuation of each prompt. Collective, as `generate_answers`."""
    return _decode_greedily(forward, prompts, limit, special, device)


@torch.no_grad()
def _decode_greedily(
    forward: Forward, prompts: list[TokenIds], limit: int, special: SpecialTokens, device: torch.device
) -> list[TokenIds]:
    lengths = np.array([len(prompt) for prompt in prompts])
    ids_BS = np.full((len(prompts), int(lengths.max()) + limit), special.end, np.int64)
    for row, prompt in enumerate(prompts):
        ids_BS[row, : len(prompt)] = prompt
    ids = torch.from_numpy(ids_BS).to(device)
    rows, positions = torch.arange(len(prompts), device=device), torch.from_numpy(lengths).to(device)
    has_ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for count in range(limit):
        logits_BSV = forward(ids[:, : int(lengths.max()) + count])
        chosen_B = logits_BSV[rows, positions - 1 + count].argmax(-1)
        ids[rows, positions + count] = torch.where(has_ended, special.end, chosen_B)
        has_ended |= chosen_B == special.end
        if _is_true_on_all_ranks(has_ended.all()):
            break
    generated = ids.cpu().numpy()
    return [generated[row, length : length + limit] for row, length in enumerate(lengths)]


def _is_true_on_all_ranks(ended: torch.Tensor) -> bool:
    """Whether `ended` is true on all ranks. With ZeRO 3 a forward pass is a collective, so no rank may stop early."""
    waiting = (~ended).to(torch.int32).reshape(1)
    comm.all_reduce(waiting)
    return not int(waiting)

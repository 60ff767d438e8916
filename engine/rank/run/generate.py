"""Greedy decoding: at each place the likeliest token, until the end or a limit.

Shapes: B texts decoded together, S places of the longest so far, V vocabulary.
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


def answers(
    forward: Forward, sources: list[TokenIds], limit: int, special: SpecialTokens, device: torch.device
) -> list[TokenIds]:
    """An encoder-decoder's output for each source. Collective: all ranks go on until the last one has ended."""
    longest = max(len(source) for source in sources)
    source_BS = np.full((len(sources), longest), PADDING, np.int64)
    for row, source in enumerate(sources):
        source_BS[row, : len(source)] = source
    read = torch.from_numpy(source_BS).to(device)
    begin = [np.array([special.begin]) for _ in sources]
    return _grown(lambda given: forward((read, given)), begin, limit, special, device)


def continuations(
    forward: Forward, prompts: list[TokenIds], limit: int, special: SpecialTokens, device: torch.device
) -> list[TokenIds]:
    """What a decoder writes behind each prompt. Collective, as `answers`."""
    return _grown(forward, prompts, limit, special, device)


@torch.no_grad()
def _grown(
    forward: Forward, prompts: list[TokenIds], limit: int, special: SpecialTokens, device: torch.device
) -> list[TokenIds]:
    lengths = np.array([len(prompt) for prompt in prompts])
    ids_BS = np.full((len(prompts), int(lengths.max()) + limit), special.end, np.int64)
    for row, prompt in enumerate(prompts):
        ids_BS[row, : len(prompt)] = prompt
    ids = torch.from_numpy(ids_BS).to(device)
    rows, places = torch.arange(len(prompts), device=device), torch.from_numpy(lengths).to(device)
    has_ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    for grown in range(limit):
        logits_BSV = forward(ids[:, : int(lengths.max()) + grown])
        chosen_B = logits_BSV[rows, places - 1 + grown].argmax(-1)
        ids[rows, places + grown] = torch.where(has_ended, special.end, chosen_B)
        has_ended |= chosen_B == special.end
        if _everywhere(has_ended.all()):
            break
    written = ids.cpu().numpy()
    return [written[row, length : length + limit] for row, length in enumerate(lengths)]


def _everywhere(ended: torch.Tensor) -> bool:
    """Whether it holds on all ranks: with ZeRO 3 each forward pass is a collective, so none may leave early."""
    waiting = (~ended).to(torch.int32).reshape(1)
    comm.all_reduce(waiting)
    return not int(waiting)

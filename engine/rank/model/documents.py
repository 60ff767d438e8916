"""Attention mask of packed documents."""

from __future__ import annotations

import torch
from torch import Tensor


def document_mask(positions_BS: Tensor) -> Tensor:
    """Return [B, 1, S, S], true where a key is in the document of the query and not after it.

    A document begins wherever the position is 0, so the positions alone say which documents there are.
    """
    documents_BS = (positions_BS == 0).cumsum(1)
    same_BSS = documents_BS[:, :, None] == documents_BS[:, None, :]
    length = positions_BS.shape[1]
    earlier_SS = torch.ones(length, length, dtype=torch.bool, device=positions_BS.device).tril()
    return (same_BSS & earlier_SS)[:, None]

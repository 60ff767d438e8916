"""All-gathers over gloo as broadcasts, one from each rank.

Gloo's own gathers into a buffer and copies that into the result: for 23 MB on two ranks 43 ms of CPU time of both
together against 8 ms of broadcasts into the result itself, and for 2 KiB 0.7 against 0.4 ms (torch 2.13, 2026-11).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, distributed


def gather_by_broadcasts(backend: Any) -> None:
    """Put it in the place of the backend's own; before the backend is watched."""
    backend.all_gather_into_tensor = _gather


def _gather(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> _Works | None:
    """The input of rank r becomes the r-th of the equal pieces of the output, of which it may be a view."""
    pieces = output_tensor.view(distributed.get_world_size(group), -1).unbind()
    own = pieces[distributed.get_rank(group)]
    if own.data_ptr() != input_tensor.data_ptr():
        own.copy_(input_tensor.flatten())
    works = _Works(
        distributed.broadcast(piece, group_src=rank, group=group, async_op=True)
        for rank, piece in enumerate(pieces)
    )
    if async_op:
        return works
    works.wait()
    return None


class _Works(list[Any]):
    """Handles of asynchronous collectives that are waited for together."""

    def wait(self) -> None:
        for work in self:
            work.wait()

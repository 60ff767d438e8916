"""All-gather over gloo as one broadcast from each rank.

Gloo's own all-gather fills a buffer and copies it into the result. CPU time of two ranks together (torch 2.13,
2026-11): for 23 MB 43 ms, against 8 ms of broadcasts into the result; for 2 KiB 0.7 ms, against 0.4 ms.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, distributed


def replace_all_gather(backend: Any) -> None:
    """Replace the all-gather of the backend. Call this before the backend is instrumented."""
    backend.all_gather_into_tensor = _gather


def _gather(
    output_tensor: Tensor, input_tensor: Tensor, group: Any = None, async_op: bool = False
) -> _WorkGroup | None:
    """Copy the input of rank r into chunk r of the equal chunks of the output; the input may be a view of it."""
    chunks = output_tensor.view(distributed.get_world_size(group), -1).unbind()
    own = chunks[distributed.get_rank(group)]
    if own.data_ptr() != input_tensor.data_ptr():
        own.copy_(input_tensor.flatten())
    works = _WorkGroup(
        distributed.broadcast(chunk, group_src=rank, group=group, async_op=True)
        for rank, chunk in enumerate(chunks)
    )
    if async_op:
        return works
    works.wait()
    return None


class _WorkGroup(list[Any]):
    """Handles of asynchronous collectives with one common wait."""

    def wait(self) -> None:
        for work in self:
            work.wait()

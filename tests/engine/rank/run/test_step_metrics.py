"""Metrics of torch's allocator, with a fake allocator."""

from __future__ import annotations

from engine.rank.run.step_metrics import ALLOCATOR_METRICS, allocator_metrics


class Allocator:
    """Fake of torch.cuda with its documented memory statistics."""

    def __init__(self) -> None:
        self.peak = 900

    def memory_stats(self) -> dict[str, int]:
        return {
            "allocated_bytes.all.current": 500, "allocated_bytes.all.peak": self.peak,
            "reserved_bytes.all.current": 1000, "num_alloc_retries": 2, "num_ooms": 1,
        }  # fmt: skip

    def reset_peak_memory_stats(self) -> None:
        self.peak = 500


def test_the_allocator_is_read_once_and_its_peak_is_that_of_the_step() -> None:
    allocator = Allocator()
    first = allocator_metrics(allocator)
    assert first == {
        "memory_allocated_bytes": 500, "memory_reserved_bytes": 1000, "memory_peak_bytes": 900,
        "alloc_retries": 2, "alloc_failures": 1,
    }  # fmt: skip
    assert tuple(first) == ALLOCATOR_METRICS
    assert allocator_metrics(allocator)["memory_peak_bytes"] == 500


def test_torch_documents_the_names_of_the_statistics() -> None:
    import inspect

    from torch.cuda import memory

    documentation = inspect.getdoc(memory.memory_stats) or ""
    for name in ("allocated_bytes", "reserved_bytes", "num_alloc_retries", "num_ooms"):
        assert name in documentation

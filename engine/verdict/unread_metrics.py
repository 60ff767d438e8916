"""Sampled metrics of devices and hosts that no verdict rule reads, and why.

tests/engine/verdict/test_read_metrics.py fails if a sampled metric has neither a rule nor a row here.
"""

from __future__ import annotations

DEVICE: dict[str, str] = {
    "energy_j": "a price of the work and no wait: accounting and the joules per token of a run read it",
    "sampling_s": "the sampler has a thread of its own, and reads less often where a reading is expensive",
}
# Of the host itself, as the client ships it under `host:NAME`
HOST: dict[str, str] = {
    "cpu_pct": "how much the cores do delays nobody by itself: the CPU pressure of its CPU device is read instead",
    "load_1min": "counts processes that wait for a disk too: the pressures of its CPU device tell the two apart",
    "memory_used_bytes": "of all processes together: the memory pressure of its CPU device says whether any waits",
    "disk_free_bytes": "free space delays nothing; a full disk ends a run, and pages and alerts warn of it before",
}

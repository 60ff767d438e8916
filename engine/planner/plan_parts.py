"""Parts of a plan: memory of a stage, and the label of a use of a capacity."""

from __future__ import annotations

from dataclasses import dataclass, field

# Runs predicted below this share never ran out of memory in 454 measured runs (Fujii, arXiv 2411.06465).
FITS_SHARE = 0.8
TIGHT_SHARE = 0.95


@dataclass(frozen=True)
class StageMemory:
    """Bytes by component on each device of one pipeline stage at its peak."""

    stage: int
    parameters_bytes: float
    gradients_bytes: float
    optimiser_bytes: float
    activations_bytes: float
    logits_bytes: float
    buffers_bytes: float = 0.0  # communication buckets, gathered parameters, temporaries of the update
    framework_bytes: float = 0.0  # CUDA context and NCCL, or the process after imports; 0 without a profile
    host_bytes: float = 0.0  # offloaded to host memory, not on the device
    binds: str = ""  # moment of the peak, a key of `moments`
    moments: dict[str, float] = field(default_factory=dict)  # bytes on the device at each
    checkpoint_bytes: float = 0.0  # copy that a save writes from, where the device is a CPU
    checkpoint_host_bytes: float = 0.0  # the same in pinned host memory, from the first save to the end
    # Before the first step every rank has the whole stage, also where ZeRO 3 then shards it.
    start_bytes: float = 0.0  # on the device
    start_host_bytes: float = 0.0

    @property
    def total_bytes(self) -> float:
        return sum(getattr(self, name) for name in COMPONENTS)


# Those that add up to the peak of the device
COMPONENTS = (
    "parameters_bytes", "gradients_bytes", "optimiser_bytes", "activations_bytes", "logits_bytes", "buffers_bytes",
    "framework_bytes", "checkpoint_bytes",
)  # fmt: skip


def fit_label(peak_bytes: float, capacity_bytes: float | None) -> str:
    """Return fits, tight or will not fit; unknown without a capacity."""
    if not capacity_bytes:
        return "unknown"
    share = peak_bytes / capacity_bytes
    return "fits" if share <= FITS_SHARE else "tight" if share <= TIGHT_SHARE else "will not fit"

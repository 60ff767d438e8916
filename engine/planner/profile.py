"""Hardware profile of a device: speeds, links, memory, power and price."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter

from engine.hardware import peaks
from engine.planner.estimate import Estimate

GIB = 1024**3
MIB = 1024**2
# A process after importing torch 2.13 and DeepSpeed 0.19.8 (276 MB), with gloo's buffers and what the first steps load
# (33 MB); measured 2026-11-27. Beside a GPU the same process is in host memory.
PROCESS_BYTES = 309_000_000
# CUDA context with its kernels, and NCCL's buffers; not measured here. Context: 1,271 MiB on a V100 and 1,573 MiB on an
# A100 (BigScience's notes of its 176 B run, 2022, where all kernels were loaded at once). NCCL: hundreds of MiB more.
CONTEXT_BYTES = int(1.5 * GIB)
FRAMEWORK_BYTES = {"cpu": PROCESS_BYTES, "cuda": CONTEXT_BYTES}
# Python hooks of one ZeRO 3 parameter gather (323 ms a step for 150 uses against 71 ms with ZeRO 0 on a CPU), and loop
# overhead of a step. The CUDA values assume the same work on a faster core.
GATHER_S = {"cpu": 1e-3, "cuda": 2e-4}
GATHER_CALLS = 110  # of one gather on a CPU, in operations: 0.2 ms at 1.85 microseconds (2026-11-30)
STEP_S = {"cpu": 3e-3, "cuda": 2e-3}
# Share of rates that a probe measured on products and copies of the right size.
PROBED_REACH = Estimate(0.6, 0.85, 1.0)
# Shares of data sheet compute and bandwidth that a Transformer reaches. Ampere and Hopper are fitted to half of
# tests/engine/planner/public_configurations.json, and the other half checks them. Volta: 30 to 64 of 125 TFLOP/s in
# published runs (Megatron-LM, ZeRO-Offload, BigScience), with all that is not products.
MATRICES_REACH = Estimate(0.45, 0.65, 0.85)
PRODUCT_REACH = {
    "volta": Estimate(0.35, 0.5, 0.65),
    "ampere": Estimate(0.62, 0.75, 0.86),
    "hopper": Estimate(0.54, 0.65, 0.76),
}
STREAMS_REACH = Estimate(0.65, 0.8, 0.92)
# Fused attention, forward and backward together, counting FLOPs that a causal mask needs.
ATTENTION_REACH = Estimate(0.2, 0.3, 0.5)
ATTENTION_REACH_BY = {"ampere": Estimate(0.27, 0.35, 0.5), "hopper": Estimate(0.17, 0.22, 0.32)}
# Host memory traffic of the optimisers of all ranks of a node, where they are offloaded. Two sockets update a billion
# parameters in a quarter of a second (ZeRO-Offload, arXiv 2101.06840); one thread per rank is ten times slower.
HOST_OPTIMISER_BYTES_PER_S = Estimate(10e9, 50e9, 110e9)


@dataclass(frozen=True)
class Link:
    """One-way link of one device: S bytes take latency_s + S / bytes_per_s."""

    latency_s: float
    bytes_per_s: float


@dataclass(frozen=True)
class PowerLevels:
    """Watts of one device while computing, communicating and waiting."""

    compute_w: float
    communication_w: float
    waiting_w: float


@dataclass(frozen=True)
class HardwareProfile:
    """One kind of device. `standing` is the source of the speeds: `measured` by a probe of that device, `estimated`
    from its row in engine.hardware.peaks. None: unknown, and what depends on it is not predicted."""

    name: str  # as the driver reports it, or of the row in the table of peaks
    kind: Literal["cpu", "cuda"]
    standing: Literal["measured", "estimated"]
    source: str  # of the figures, with the date
    flops_per_s: dict[
        str, float
    ]  # by number format: dense peak (estimated), or a large product's rate (measured)
    architecture: str = ""  # of a GPU: a value of engine.hardware.peak_table.Architecture; "": unknown
    memory_bytes: int | None = None  # capacity
    memory_bytes_per_s: float | None = None
    compute_share: Estimate = MATRICES_REACH  # of flops_per_s
    memory_share: Estimate = STREAMS_REACH  # of memory_bytes_per_s
    attention_flops_per_s: dict[str, Estimate] = field(default_factory=dict)  # fused; none: as other products
    # Square products by number format: (size, FLOP/s) from small to large, where a probe measured them.
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    optimiser_bytes_per_s: float | None = None  # of fused AdamW; None: as memory_bytes_per_s
    # Overheads: one eager torch operation, one parameter gather of ZeRO 3, one step.
    operation_s: float = 6e-6
    gather_s: float | None = None  # None: GATHER_S
    step_s: float | None = None  # None: STEP_S
    within_node: Link | None = None
    between_nodes: Link | None = None
    devices_per_node: int | None = None
    host_link: Link | None = None  # to host memory, for offloading
    # Capacities of a node, shared by its devices; None: unknown, and a plan does not say that it fits there.
    node_memory_bytes: int | None = None
    node_disk_bytes: int | None = None  # free space for checkpoints
    disk_bytes_per_s: float | None = None
    framework_bytes: int | None = None  # resident before the model; None: FRAMEWORK_BYTES
    power: PowerLevels | None = None
    price_per_device_hour: float | None = None
    currency: str = ""
    notes: dict[str, str] = field(default_factory=dict)  # remarks of the probe for people

    @property
    def one_gather_s(self) -> float:
        if self.gather_s is not None:
            return self.gather_s
        # Python as operations are, so a probe of these knows how fast the core is.
        is_probed = self.kind == "cpu" and self.standing == "measured"
        return GATHER_CALLS * self.operation_s if is_probed else GATHER_S[self.kind]

    @property
    def one_step_s(self) -> float:
        return STEP_S[self.kind] if self.step_s is None else self.step_s

    @property
    def resident_bytes(self) -> int:
        return FRAMEWORK_BYTES[self.kind] if self.framework_bytes is None else self.framework_bytes

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> HardwareProfile:
        """Read the result of `to_json`. Raises pydantic.ValidationError (a ValueError)."""
        return _PROFILE.validate_python(values)


_PROFILE = TypeAdapter(HardwareProfile)


def profile_from_peak(peak: peaks.Peak) -> HardwareProfile:
    """Build the estimated profile of a device from its row in the table of peaks."""
    within = Link(peaks.LATENCY_S[peak.link], peak.link_bytes_per_s) if peak.link != "none" else None
    # NCCL joins no two instances of a board, so how instances exchange data is not known.
    between = Link(peaks.LATENCY_S["network"], peak.network_bytes_per_s) if peak.slice is None else None
    limit_w = peak.power_limit_w
    return HardwareProfile(
        name=peak.name,
        kind="cuda",
        standing="estimated",
        source=f"{peak.source}, {peak.date}",
        flops_per_s={dtype: tflops * 1e12 for dtype, tflops in peak.tflops.items()},
        compute_share=PRODUCT_REACH.get(peak.architecture, MATRICES_REACH),
        attention_flops_per_s={
            dtype: ATTENTION_REACH_BY.get(peak.architecture, ATTENTION_REACH).scaled(tflops * 1e12)
            for dtype, tflops in peak.tflops.items()
        },
        architecture=peak.architecture,
        memory_bytes=peak.memory_bytes,
        memory_bytes_per_s=peak.memory_bytes_per_s,
        within_node=within,
        between_nodes=between,
        devices_per_node=peak.devices_per_node,
        host_link=Link(peaks.LATENCY_S["pcie"], peak.host_bytes_per_s),
        disk_bytes_per_s=3e9,
        power=PowerLevels(0.9 * limit_w, 0.5 * limit_w, 0.2 * limit_w),
    )

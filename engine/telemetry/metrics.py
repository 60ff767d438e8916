"""Table of metrics, one row each.

To add one: write its row here, measure it in engine/rank/ (run, rank) or engine/telemetry/ (device), and test it in
tests/engine/. Ingest, charts, tables, API and the Prometheus export read the row.

Scopes: `run` one value for the whole run, `rank` one per rank, `device` one per device and tick.
Units are SI; shares run from 0 to 1, percentages (as drivers report them) from 0 to 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.hardware.fabric_test import ALGORITHMS
from fourwalls.system.device_metrics import Status

__all__ = ["BY_NAME", "METRICS", "START_PHASES", "STEP_PHASES", "Metric", "Scope", "Section", "Status"]

Scope = Literal["run", "rank", "device"]
Section = Literal["Learning", "Speed", "Compute", "Memory", "Bandwidth", "Power"]


@dataclass(frozen=True)
class Metric:
    name: str
    unit: str  # "" counts or pure numbers; share, pct, s, bytes, bytes_per_s, w, j, celsius, hz, tokens, tokens_per_s, flops_per_s
    scope: Scope
    label: str
    meaning: str
    section: Section | None = (
        None  # of its chart, where dashboard.charts.panels has no panel for it; None: by scope
    )
    is_charted: bool = True


# Of a fabric test, once per message size, which is its step. The pool page draws them.
FABRIC_METRICS: tuple[Metric, ...] = (
    Metric("message_bytes", "bytes", "run", "Message", "Bytes that each rank contributes", is_charted=False),
    *(
        Metric(f"{one.name}_{name}", unit, "run", f"{one.title}{label}", meaning, is_charted=False)
        for one in ALGORITHMS
        for name, unit, label, meaning in (
            ("s", "s", ": time", "Of the slowest rank, median over repetitions"),
            ("bus_bytes_per_s", "bytes_per_s", "", "Bus bandwidth as in nccl-tests: comparable between numbers of ranks"),
            ("sent_bytes", "bytes", ": bytes sent", "Of the rank that sends most; only where the test itself sends"),
        )
    ),
)  # fmt: skip

METRICS: tuple[Metric, ...] = (
    # The run, once per step, from rank 0
    Metric("loss", "", "run", "Training loss", "Mean cross-entropy over the global batch, nats per token"),
    Metric("validation_loss", "", "run", "Validation loss", "Mean cross-entropy on held-out text, nats per token"),
    Metric("loss_gap", "", "run", "Generalisation gap", "Validation loss minus the mean training loss since the previous validation"),
    Metric("perplexity", "", "run", "Perplexity", "Exponential of the validation loss"),
    Metric("bits_per_byte", "", "run", "Bits per byte", "Validation loss per byte of text; comparable between tokenizers"),
    Metric("accuracy_share", "share", "run", "Accuracy", "Share of held-out texts whose true class has the highest probability"),
    Metric("token_accuracy_share", "share", "run", "Token accuracy", "Share of held-out target tokens with the highest probability, each given the true tokens before it"),
    Metric("bleu", "", "run", "BLEU", "Of greedy outputs for held-out pairs, 0 to 100, by sacrebleu"),
    Metric("rouge_1_share", "share", "run", "ROUGE-1", "Words shared with the reference (F-measure), by rouge-score"),
    Metric("rouge_2_share", "share", "run", "ROUGE-2", "Pairs of words shared with the reference (F-measure)"),
    Metric("rouge_l_share", "share", "run", "ROUGE-L", "Longest common subsequence with the reference (F-measure)"),
    Metric("exact_match_share", "share", "run", "Exact match", "Share of outputs that equal the reference"),
    Metric("learning_rate", "", "run", "Learning rate", "Used in this step"),
    Metric("grad_norm", "", "run", "Gradient norm", "Global L2 norm before clipping"),
    Metric("loss_scale", "", "run", "Loss scale", "fp16 only"),
    Metric("broken_steps", "", "run", "Broken steps", "Steps so far with a spike, or without a finite loss or gradient; the policy skips them or rolls back"),
    Metric("tokens", "tokens", "run", "Tokens seen", "Training tokens up to and including this step", is_charted=False),
    Metric("step_s", "s", "run", "Step time", "Wall time of the step on rank 0"),
    Metric("tokens_per_s", "tokens_per_s", "run", "Throughput", "Tokens of the step divided by its wall time"),
    Metric("clock_tokens_per_s", "tokens_per_s", "run", "Throughput by the clock", "Tokens since the first step of the attempt divided by the time since then, with validations, checkpoints and recording"),
    Metric("flops_per_s", "flops_per_s", "run", "Model FLOP/s", "Model FLOPs (causal attention halved, no recomputation) divided by wall time"),
    Metric("mfu_share", "share", "run", "MFU", "Model FLOP/s divided by the dense peak of all devices; only where the peak is known"),
    Metric("validation_s", "s", "run", "Validation time", "Time in which training waited for a validation and its sample outputs"),
    Metric("checkpoint_block_s", "s", "run", "Checkpoint wait", "Time in which training waited for a checkpoint: for the copy of the state and the end of the previous save"),
    # Each rank, once per step; the times (STEP_PHASES) add up to step_s
    Metric("data_wait_s", "s", "rank", "Data wait", "Time in which the step waited for its batch"),
    Metric("forward_s", "s", "rank", "Forward", "Forward pass and loss"),
    Metric("backward_s", "s", "rank", "Backward", "Backward pass without its communication"),
    Metric("communication_s", "s", "rank", "Communication", "Exposed: blocked in collectives, including waiting for slower ranks, and in transfers of a pipeline"),
    Metric("bubble_s", "s", "rank", "Bubble", "Waiting for another pipeline stage: in send, receive and at the end of the step, without the transfer time of the payload"),
    Metric("optimiser_s", "s", "rank", "Optimiser", "Clipping and update without their communication"),
    Metric("host_gap_s", "s", "rank", "Host gaps", "GPU: time of the compute stream between two phases, waiting for the host only"),
    Metric("other_s", "s", "rank", "Other", "Rest of the step"),
    Metric("collective_bytes", "bytes", "rank", "Collective payload", "Bytes that this rank passed to collectives, send and receive in the step"),
    Metric("all_reduce_bytes", "bytes", "rank", "All-reduce", "Its part of the payload"),
    Metric("all_gather_bytes", "bytes", "rank", "All-gather", "Its part of the payload"),
    Metric("reduce_scatter_bytes", "bytes", "rank", "Reduce-scatter", "Its part of the payload"),
    Metric("broadcast_bytes", "bytes", "rank", "Broadcast", "Its part of the payload"),
    Metric("all_to_all_bytes", "bytes", "rank", "All-to-all", "Its part of the payload"),
    Metric("send_receive_bytes", "bytes", "rank", "Send and receive", "Its part of the payload, both ways"),
    Metric("collective_bytes_per_s", "bytes_per_s", "rank", "Collective bandwidth", "Payload bytes divided by the wall time of the step"),
    Metric("memory_allocated_bytes", "bytes", "rank", "Allocated", "torch allocator, now (CUDA)"),
    Metric("memory_reserved_bytes", "bytes", "rank", "Reserved", "torch allocator, reserved from the driver (CUDA)"),
    Metric("memory_peak_bytes", "bytes", "rank", "Peak allocated", "torch allocator, highest of the step (CUDA)"),
    Metric("alloc_retries", "", "rank", "Allocation retries", "Times the torch allocator freed its cache to find memory, since the start of the attempt (CUDA)"),
    Metric("alloc_failures", "", "rank", "Allocations failed", "Times the torch allocator ran out of memory, since the start of the attempt (CUDA)"),
    Metric("optimiser_state_bytes", "bytes", "rank", "Optimiser state", "State of the optimiser on this rank, such as the moments of Adam, on the device or the host"),
    Metric("rss_bytes", "bytes", "rank", "Resident memory", "Resident set of the rank process"),
    # Each device, once per tick
    Metric("utilisation_pct", "pct", "device", "Utilisation", "GPU: time with a running kernel. CPU: process time divided by the allotted cores"),
    Metric("cores_used", "", "device", "Cores used", "CPU: cores that its ranks kept busy"),
    Metric("memory_used_bytes", "bytes", "device", "Memory used", "GPU: used on the board. CPU: resident memory of its ranks"),
    Metric("memory_pss_bytes", "bytes", "device", "Memory (PSS)", "CPU: memory of the ranks, shared pages counted once; every 10 s"),
    Metric("memory_limit_bytes", "bytes", "device", "Memory limit", "CPU: of the control group of the ranks; every 10 s"),
    Metric("power_w", "w", "device", "Power", "Board power"),
    Metric("energy_j", "j", "device", "Energy", "Since the start of the attempt, from the counter of the device"),
    Metric("temperature_celsius", "celsius", "device", "Temperature", "Of the chip"),
    Metric("memory_temperature_celsius", "celsius", "device", "Memory temperature", "Of the GPU's memory"),
    Metric("sm_clock_hz", "hz", "device", "Clock", "SM clock on a GPU, core clock on a CPU"),
    Metric("memory_bandwidth_share", "share", "device", "Memory bandwidth", "Share of the peak memory bandwidth in use (GPM)"),
    Metric("tensor_active_share", "share", "device", "Tensor cores active", "Share of time with active tensor pipes (GPM)"),
    Metric("sm_active_share", "share", "device", "SMs active", "Share of SMs with a resident warp (GPM)"),
    Metric("sm_occupancy_share", "share", "device", "SM occupancy", "Resident warps divided by the maximum (GPM)"),
    Metric("pcie_tx_bytes_per_s", "bytes_per_s", "device", "PCIe to host", "From the byte counters"),
    Metric("pcie_rx_bytes_per_s", "bytes_per_s", "device", "PCIe from host", "From the byte counters"),
    Metric("nvlink_tx_bytes_per_s", "bytes_per_s", "device", "NVLink sent", "From the byte counters, all links"),
    Metric("nvlink_rx_bytes_per_s", "bytes_per_s", "device", "NVLink received", "From the byte counters, all links"),
    Metric("pcie_link_share", "share", "device", "PCIe link", "Current bandwidth of the link divided by its best; lower while idle; every 10 s"),
    Metric("pcie_replays", "", "device", "PCIe replays", "Packets resent since the driver was loaded; every 10 s"),
    Metric("memory_errors_corrected", "", "device", "Errors corrected", "Single-bit memory errors since the driver was loaded; every 10 s"),
    Metric("network_tx_bytes_per_s", "bytes_per_s", "device", "Network sent", "CPU: all interfaces of the machine but loopback"),
    Metric("network_rx_bytes_per_s", "bytes_per_s", "device", "Network received", "CPU: all interfaces of the machine but loopback"),
    Metric("power_throttle_share", "share", "device", "Power throttling", "Share of time with clocks lowered by the power cap or the power brake"),
    Metric("thermal_throttle_share", "share", "device", "Thermal throttling", "Share of time with clocks lowered by temperature"),
    Metric("sync_throttle_share", "share", "device", "Sync throttling", "Share of time with clocks lowered to those of a slower GPU (sync boost)"),
    Metric("cpu_throttle_share", "share", "device", "CPU throttling", "CPU: share of time in which the quota of the control group was used up"),
    Metric("cpu_pressure_share", "share", "device", "CPU pressure", "Share of time in which a process waited for a core (PSI)"),
    Metric("memory_pressure_share", "share", "device", "Memory pressure", "Share of time in which a process waited for memory (PSI)"),
    Metric("io_pressure_share", "share", "device", "IO pressure", "Share of time in which a process waited for a disk (PSI)"),
    Metric("sampling_s", "s", "device", "Cost of sampling", "Time of reading this device in one tick"),
    *FABRIC_METRICS,
)  # fmt: skip

# Of a logged script's machine, as its client ships them under `host:NAME`. No attempt has them, so no table lists them.
HOST_METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("cpu_pct", "pct", "run", "CPU busy", "All cores of the machine", "Compute"),
        Metric(
            "load_1min", "", "run", "Load, 1 min", "Processes that run or wait, mean of a minute", "Compute"
        ),
        Metric("disk_free_bytes", "bytes", "run", "Disk free", "Where the script was started", "Memory"),
    )
}

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
# They add up to step_s. A rank without a pipeline has no bubble_s, a rank on a CPU no host_gap_s.
STEP_PHASES = (
    "data_wait_s", "forward_s", "backward_s", "communication_s", "bubble_s", "optimiser_s", "host_gap_s", "other_s",
)  # fmt: skip
START_PHASES = ("queued", "starting", "imports", "data", "build", "first_step")

"""The rules of a verdict as data: what each limit is called, what counts as evidence, and what is said of it.

Sources of the thresholds: 10/20 % bands, 20 steps and 92/97 % of memory from TraceML 0.5; tensor >= 50 % from
KempnerPulse; SM 80 % and DRAM from NVIDIA's DCGM guide; the 5-point lead, 60 % / 35 %, throttle 10 % and 2 % and PSI
20 % are proposals of our own, held by tests/perf/test_injected_bottlenecks.py where a CPU can show them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Higher when the same facts can lead to another verdict. Old runs keep the verdict of the version they were judged by.
RULES_VERSION = 1

Limit = Literal["compute", "memory", "bandwidth", "power"]
LIMITS: tuple[Limit, ...] = ("compute", "memory", "bandwidth", "power")

NOTABLE = 0.10  # share of the step from which a loss is named
STRONG = 0.20
LEAD = 0.05  # so far ahead of the next one, else the verdict is mixed
SURE_STEPS = 20
SURE_COVERAGE = 0.80
UNTOLD = 0.10  # share of the step that no phase tells of: no loss can be called strong then
FULL, CRITICAL = 0.92, 0.97  # of the device's memory
POWER_HELD, HEAT_HELD = 0.10, 0.02  # share of time with clocks held back
CLOCK_LOST = 0.95  # below this share of the reference clock, held back by power counts
PRESSURE = 0.20  # PSI cpu "some": the host is contended
BANDWIDTH_BUSY, TENSOR_IDLE, TENSOR_BUSY, SM_BUSY = 0.60, 0.35, 0.50, 0.80
USED_WELL = 0.60  # OFU or MFU over what matrix products reach on the device
IMBALANCED = 1.3  # measured idle time over (p - 1) / (m + p - 1)


@dataclass(frozen=True)
class Rule:
    """One limit. `sentence` is filled with the evidence of a run; `formula` says how its share is made."""

    id: str
    limit: Limit
    title: str
    sentence: str
    formula: str
    remedies: tuple[
        str, ...
    ] = ()  # ids of engine.verdict.remedies, in the order in which they are worth trying


# Losses: time of a step that no arithmetic of the model needs. They are compared with each other.
LOSSES: tuple[Rule, ...] = (
    Rule(
        "input", "compute", "Input",
        "Waiting for the next batch takes {share} of each step.",
        "step - step with data_wait_s = 0 on every rank, slowest rank each time",
        ("faster_data",),
    ),
    Rule(
        "communication", "bandwidth", "Communication",
        "Exposed communication takes {share} of each step.",
        "least communication_s over the ranks, step by step; pipelines: what stages and bubble leave of the step",
        ("lower_zero", "less_tensor", "accumulate", "larger_micro_batch", "fewer_stages", "faster_link"),
    ),
    Rule(
        "bubble", "compute", "Pipeline bubble",
        "The pipeline bubble takes {share} of each step: {stages} stages fill and empty for {micro_batches} "
        "micro-batches.",
        "sum of stage times - slowest stage time; equal stages: (p - 1) / (m + p - 1)",
        ("smaller_micro_batch", "accumulate", "fewer_stages"),
    ),
    Rule(
        "imbalance", "compute", "Imbalance",
        "Ranks wait {share} of each step for a slower one{who}.",
        "step - step in which every rank (stage) takes the mean time of all, data wait left out",
        ("other_devices", "balance_stages", "fewer_stages"),
    ),
    Rule(
        "host", "compute", "Host overhead",
        "Host work outside the model's own phases takes {share} of each step.",
        "other_s (and host_gap_s where measured), mean over the ranks",
        ("larger_micro_batch",),
    ),
)  # fmt: skip

# What is left of the step is the model's own arithmetic; one of these says what holds that back.
INSIDE: tuple[Rule, ...] = (
    Rule(
        "power", "power", "Power",
        "Clocks are held back by the power limit; at full clock {share} of each step would be saved.",
        "compute share x (1 - clock / reference clock), where held back by power >= 10 % of the time",
        ("raise_power",),
    ),
    Rule(
        "heat", "power", "Heat",
        "Clocks are held back by temperature; at full clock {share} of each step would be saved.",
        "compute share x (1 - clock / reference clock), where held back by heat >= 2 % of the time",
        ("cooling",),
    ),
    Rule(
        "capacity", "memory", "Memory capacity",
        "Memory capacity is the limit: changes that only memory refuses would save {share} of each step.",
        "recompute off or a larger micro-batch, by this run's phases, where the planner says that it will not fit",
        ("recompute", "higher_zero", "offload"),
    ),
    Rule(
        "memory_bandwidth", "memory", "Memory bandwidth",
        "Compute takes {share} of each step, and it waits for device memory: DRAM is busy, tensor cores are not.",
        "forward + backward + update; DRAM active >= 60 % and tensor active < 35 %",
        ("larger_micro_batch", "half_precision"),
    ),
    Rule(
        "kernels", "compute", "Small kernels",
        "Compute takes {share} of each step with neither tensor cores nor memory busy: small or unsuitable kernels.",
        "forward + backward + update; SM active >= 80 %, tensor < 50 %, DRAM < 60 %",
        ("larger_micro_batch", "half_precision"),
    ),
    Rule(
        "compute", "compute", "Compute",
        "Compute takes {share} of each step; no other limit costs {floor} or more.{hint}",
        "forward_s + backward_s + optimiser_s, mean over the ranks",
        ("half_precision", "no_recompute", "better_shapes", "faster_device"),
    ),
)  # fmt: skip

# Beside the verdict: true or not, whatever the shares are.
STATES: tuple[Rule, ...] = (
    Rule("unhealthy", "compute", "Unhealthy device", "{what}", "driver: Xid, uncorrectable ECC, lost device", ()),
    Rule(
        "contended", "compute", "Host contended",
        "Other work competes for the cores: {what}.", "PSI cpu some > 20 % of the time", (),
    ),
    Rule(
        "power_held", "power", "Held back by power", "Clocks were held back by power {what} of the time.",
        "throttle counter / wall >= 10 %", ("raise_power",),
    ),
    Rule(
        "heat_held", "power", "Held back by heat", "Clocks were held back by temperature {what} of the time.",
        "throttle counter / wall >= 2 %", ("cooling",),
    ),
    Rule(
        "memory_full", "memory", "Memory nearly full", "{what}",
        "most memory in use / capacity >= 92 % (97 %: strong); or allocator retries; or an earlier attempt ran out",
        ("recompute", "higher_zero", "smaller_micro_batch", "offload"),
    ),
)  # fmt: skip

RULES: dict[str, Rule] = {rule.id: rule for rule in (*LOSSES, *INSIDE, *STATES)}

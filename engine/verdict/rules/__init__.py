"""The rules of a verdict, one module each."""

from __future__ import annotations

from engine.verdict.rule import ClockRule, ComputeBoundRule, LossRule, Rule, StateRule
from engine.verdict.rules import (
    between_steps,
    bubble,
    capacity,
    checkpoints,
    communication,
    compute,
    contended,
    contention,
    dispatch,
    heat,
    heat_held,
    host,
    idle,
    imbalance,
    input,
    io_pressure,
    kernels,
    lost_work,
    memory_bandwidth,
    memory_errors,
    memory_full,
    network_busy,
    nvlink_unused,
    optimiser,
    pcie_errors,
    pcie_link,
    power,
    power_held,
    queue_wait,
    quota,
    recording,
    start_up,
    swapping,
    sync_boost,
    sync_held,
    unhealthy,
    validation,
)

# Raised when the same facts can lead to another verdict. Old runs keep the verdict of the version that judged them.
RULES_VERSION = 4

# In order of evaluation: a loss takes what the losses before it left, the first bound on compute that applies counts.
RULES: tuple[Rule, ...] = (
    quota.RULE,  # pressures first: they stretch everything else
    swapping.RULE,
    io_pressure.RULE,
    contention.RULE,
    input.RULE,
    communication.RULE,
    imbalance.RULE,
    host.RULE,
    optimiser.RULE,
    dispatch.RULE,
    bubble.RULE,  # the last loss: measured as the rest of the step
    power.RULE,
    heat.RULE,
    sync_boost.RULE,
    capacity.RULE,
    memory_bandwidth.RULE,
    idle.RULE,
    kernels.RULE,
    compute.RULE,  # the last bound: always applies
    validation.RULE,
    checkpoints.RULE,
    recording.RULE,
    between_steps.RULE,
    start_up.RULE,
    lost_work.RULE,
    unhealthy.RULE,
    contended.RULE,
    power_held.RULE,
    heat_held.RULE,
    sync_held.RULE,
    memory_full.RULE,
    memory_errors.RULE,
    pcie_link.RULE,
    pcie_errors.RULE,
    nvlink_unused.RULE,
    network_busy.RULE,
    queue_wait.RULE,
)
BY_ID: dict[str, Rule] = {rule.id: rule for rule in RULES}
LOSSES: tuple[LossRule, ...] = tuple(rule for rule in RULES if isinstance(rule, LossRule))
COMPUTE_BOUNDS: tuple[ComputeBoundRule, ...] = tuple(r for r in RULES if isinstance(r, ComputeBoundRule))
CLOCK_RULES: tuple[ClockRule, ...] = tuple(rule for rule in RULES if isinstance(rule, ClockRule))
STATES: tuple[StateRule, ...] = tuple(rule for rule in RULES if isinstance(rule, StateRule))
COMPUTE: ComputeBoundRule = compute.RULE
# What rules read of devices: means, maxima and growth. engine.verdict.unread_metrics has the reasons for the others.
DEVICE_METRICS: tuple[str, ...] = tuple(sorted({metric for rule in RULES for metric in rule.device_metrics}))
PEAK_METRICS: tuple[str, ...] = tuple(sorted({metric for rule in RULES for metric in rule.peak_metrics}))
COUNTER_METRICS: tuple[str, ...] = tuple(
    sorted({metric for rule in RULES for metric in rule.counter_metrics})
)

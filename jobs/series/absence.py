"""Reasons why a run has no series of a metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.telemetry.metrics import BY_NAME
from jobs.models import Run
from jobs.series.axis import X
from jobs.series.read import Series

Reason = tuple[str, str]  # status and message

NOT_RECORDED: Reason = ("absent", "No value has been recorded.")
NO_ENERGY: Reason = ("absent", "No device of this run reports its energy.")
PART_OF_ENERGY: Reason = ("absent", "Some devices of this run do not report their energy.")
NO_TOKENS: Reason = ("absent", "This run did not report how many tokens it has seen.")
NO_STEPS: Reason = ("absent", "Its readings have no step: they are taken by the clock. Choose time.")
WITHOUT_AXIS = {"energy": NO_ENERGY, "tokens": NO_TOKENS}


def reported_reasons(run: Run, metric: str) -> dict[str, Reason]:
    """Source -> reason, for the devices and ranks that reported that they cannot measure the metric."""
    return {
        source: (reasons[metric][0], reasons[metric][1])
        for source, reasons in run.missing.items()
        if metric in reasons
    }


def first_reported_reason(run: Run, metrics: Iterable[str]) -> Reason | None:
    """Return the reason that the first source reported for any of the metrics."""
    wanted = list(metrics)
    for reasons in run.missing.values():
        for metric in wanted:
            if metric in reasons:
                return reasons[metric][0], reasons[metric][1]
    return None


def lacks_energy(run: Run) -> bool:
    """Whether a device cannot measure energy: the energy of the others is not that of the run."""
    return bool(reported_reasons(run, "energy_j"))


def absent_series(
    runs: Sequence[Run], metrics: Sequence[str], drawn: Iterable[Series], x: X
) -> dict[str, dict[str, dict[str, Reason]]]:
    """Run -> metric -> source -> why there is no series over `x`; the source is '' where the reason is the run's."""
    present = {(line.run, line.metric) for line in drawn}
    found: dict[str, dict[str, dict[str, Reason]]] = {}
    for run in runs:
        for metric in metrics:
            reasons = reported_reasons(run, metric)
            if not reasons and (run.id, metric) not in present:
                reasons = {"": _why_absent(run, metric, x)}
            if reasons:
                found.setdefault(run.id, {})[metric] = reasons
    return found


def _why_absent(run: Run, metric: str, x: X) -> Reason:
    if x == "energy" and lacks_energy(run):
        return PART_OF_ENERGY
    row = BY_NAME.get(metric)
    if row and row.scope == "device" and x in ("step", "tokens"):
        return NO_STEPS
    return WITHOUT_AXIS.get(x, NOT_RECORDED)

"""Panels of the run page, one row each, by section."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Literal

from engine.telemetry.metrics import BY_NAME, HOST_METRICS, METRICS, STEP_PHASES, Metric, Scope, Section
from jobs.series.metric_units import get_unit

MissingMetrics = dict[str, dict[str, list[str]]]  # source -> metric -> status and reason


@dataclass(frozen=True)
class Panel:
    """One chart. All its metrics have one unit and one scope."""

    title: str
    metrics: tuple[str, ...]
    kind: Literal["lines", "stack"] = "lines"
    floor: float | None = None  # the y axis includes this value
    ceiling: float | None = None  # and this one
    is_optional: bool = False  # shown only if it was measured, or a device reports why it was not

    @property
    def key(self) -> str:
        return self.metrics[0]

    @property
    def prefix(self) -> str:
        """What a title within its section leaves out of the name: 'train/' of train/loss."""
        return self.key.removesuffix(self.title) if self.key.endswith(f"/{self.title}") else ""

    @property
    def joined_metrics(self) -> str:
        """Metrics for a script, separated by spaces; spaces within a name are written as %20."""
        return " ".join(name.replace("%", "%25").replace(" ", "%20") for name in self.metrics)

    @property
    def scope(self) -> str:
        return get_metric(self.key).scope

    @property
    def unit(self) -> str:
        return get_metric(self.key).unit

    @property
    def meaning(self) -> str:
        rows = [get_metric(name) for name in self.metrics]
        return "; ".join(f"{row.label}: {row.meaning}" if row.meaning else row.label for row in rows)


def get_metric(name: str) -> Metric:
    """Return the row of a metric; for a user's own metric one with the unit of its name and without meaning."""
    return BY_NAME.get(name) or HOST_METRICS.get(name) or Metric(name, get_unit(name), "run", name, "")


PAYLOADS = (
    "all_reduce_bytes", "all_gather_bytes", "reduce_scatter_bytes", "broadcast_bytes", "all_to_all_bytes",
    "send_receive_bytes",
)  # fmt: skip
PRESSURES = ("cpu_pressure_share", "memory_pressure_share", "io_pressure_share")
THROTTLES = ("power_throttle_share", "thermal_throttle_share", "sync_throttle_share", "cpu_throttle_share")
SHARED: tuple[tuple[Section, tuple[Panel, ...]], ...] = (
    ("Learning", (
        Panel("Loss", ("loss", "validation_loss")),
        Panel("Generalisation gap", ("loss_gap",), is_optional=True),
        Panel("Accuracy", ("accuracy_share", "token_accuracy_share"), floor=0, ceiling=1, is_optional=True),
        Panel("BLEU", ("bleu",), floor=0, is_optional=True),
        Panel("ROUGE", ("rouge_1_share", "rouge_2_share", "rouge_l_share"), floor=0, is_optional=True),
        Panel("Exact match", ("exact_match_share",), floor=0, is_optional=True),
        Panel("Perplexity", ("perplexity",), is_optional=True),
        Panel("Bits per byte", ("bits_per_byte",), floor=0, is_optional=True),
        Panel("Learning rate", ("learning_rate",), floor=0),
        Panel("Gradient norm", ("grad_norm",), floor=0),
        Panel("Loss scale", ("loss_scale",), floor=0, is_optional=True),
        Panel("Broken steps", ("broken_steps",), floor=0, is_optional=True),
    )),
    ("Speed", (
        Panel("Throughput", ("tokens_per_s", "clock_tokens_per_s"), floor=0),
        Panel("Step time by part", STEP_PHASES, kind="stack", floor=0),
        Panel("Step time", ("step_s",), floor=0),
        Panel("Waiting for checkpoints", ("checkpoint_block_s",), floor=0, is_optional=True),
        Panel("Waiting for validations", ("validation_s",), floor=0, is_optional=True),
    )),
    ("Compute", (
        Panel("Device utilisation", ("utilisation_pct",), floor=0, ceiling=100),
        Panel("MFU", ("mfu_share",), floor=0),
        Panel("Model FLOP/s", ("flops_per_s",), floor=0),
        Panel("SMs", ("sm_active_share", "sm_occupancy_share"), floor=0, ceiling=1, is_optional=True),
        Panel("Tensor cores active", ("tensor_active_share",), floor=0, ceiling=1, is_optional=True),
        Panel("Clock", ("sm_clock_hz",), floor=0),
        Panel("Cores used", ("cores_used",), floor=0, is_optional=True),
        Panel("Pressure", PRESSURES, floor=0, is_optional=True),
        Panel("Cost of sampling", ("sampling_s",), floor=0, is_optional=True),
    )),
    ("Memory", (
        Panel("Device memory used", ("memory_used_bytes", "memory_pss_bytes", "memory_limit_bytes"), floor=0),
        Panel("Errors corrected", ("memory_errors_corrected", "pcie_replays"), floor=0, is_optional=True),
        Panel("Allocator", ("memory_allocated_bytes", "memory_reserved_bytes", "memory_peak_bytes"), floor=0),
        Panel("Allocator under pressure", ("alloc_retries", "alloc_failures"), floor=0, is_optional=True),
        Panel("Resident memory", ("rss_bytes",), floor=0),
        Panel("Optimiser state", ("optimiser_state_bytes",), floor=0),
    )),
    ("Bandwidth", (
        Panel("Collective bandwidth", ("collective_bytes_per_s",), floor=0),
        Panel("Collective payload", ("collective_bytes",), floor=0),
        Panel("Payload by collective", PAYLOADS, kind="stack", floor=0),
        Panel("Memory bandwidth", ("memory_bandwidth_share",), floor=0, ceiling=1),
        Panel("PCIe", ("pcie_tx_bytes_per_s", "pcie_rx_bytes_per_s"), floor=0),
        Panel("PCIe link", ("pcie_link_share",), floor=0, ceiling=1, is_optional=True),
        Panel("NVLink", ("nvlink_tx_bytes_per_s", "nvlink_rx_bytes_per_s"), floor=0),
        Panel("Network", ("network_tx_bytes_per_s", "network_rx_bytes_per_s"), floor=0, is_optional=True),
    )),
    ("Power", (
        Panel("Power", ("power_w",), floor=0),
        Panel("Energy", ("energy_j",), floor=0),
        Panel("Temperature", ("temperature_celsius", "memory_temperature_celsius")),
        Panel("Throttling", THROTTLES, floor=0, ceiling=1),
    )),
)  # fmt: skip
SECTION_OF_SCOPE: dict[Scope, Section] = {"run": "Learning", "rank": "Speed", "device": "Compute"}
CEILINGS = {"share": 1.0, "pct": 100.0}


def own_panels(section: Section, metrics: Iterable[Metric]) -> tuple[Panel, ...]:
    """A panel for each charted metric of a section that no row above draws."""
    drawn = {name for _, row in SHARED for panel in row for name in panel.metrics}
    return tuple(
        Panel(
            metric.label,
            (metric.name,),
            floor=0 if metric.unit else None,
            ceiling=CEILINGS.get(metric.unit),
            is_optional=True,
        )
        for metric in metrics
        if metric.is_charted
        and metric.name not in drawn
        and section == (metric.section or SECTION_OF_SCOPE[metric.scope])
    )


SECTIONS: tuple[tuple[str, tuple[Panel, ...]], ...] = tuple(
    (section, (*row, *own_panels(section, METRICS))) for section, row in SHARED
)


@dataclass(frozen=True)
class Absence:
    """Metrics that are absent for one reason, with the number of sources."""

    labels: tuple[str, ...]
    num_sources: int
    status: str
    reason: str


@dataclass(frozen=True)
class PanelState:
    """A panel on the page of a run: its first state, and why some of its metrics are absent."""

    panel: Panel
    state: Literal["loading", "absent", "empty"]
    absences: tuple[Absence, ...]


def build_panel_states(
    missing: MissingMetrics, measured: Set[str], *, is_over: bool
) -> list[tuple[str, list[PanelState]]]:
    """Return every panel by section. `measured`: metrics that have points; an ended run gets no more."""
    return [
        (title, [build_panel_state(panel, missing, measured, is_over) for panel in row])
        for title, row in SECTIONS
    ]


def build_panel_state(panel: Panel, missing: MissingMetrics, measured: Set[str], is_over: bool) -> PanelState:
    absences = _absences(panel, missing)
    if not measured.isdisjoint(panel.metrics):
        return PanelState(panel, "loading", absences)
    return PanelState(panel, "absent" if absences else "empty" if is_over else "loading", absences)


def _absences(panel: Panel, missing: MissingMetrics) -> tuple[Absence, ...]:
    """One entry per reason, which several devices and metrics may share."""
    found: dict[tuple[str, str], tuple[dict[str, None], set[str]]] = {}
    for source, reasons in missing.items():
        for name in panel.metrics:
            if name in reasons:
                labels, sources = found.setdefault((reasons[name][0], reasons[name][1]), ({}, set()))
                labels[get_metric(name).label] = None
                sources.add(source)
    return tuple(
        Absence(tuple(labels), len(sources), status, reason)
        for (status, reason), (labels, sources) in found.items()
    )

"""Sections of charts by topic, for metrics of the engine and of users."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from dashboard.charts.panels import SECTIONS, Panel, get_metric
from engine.telemetry.metrics import BY_NAME, HOST_METRICS
from jobs.series.metric_roles import get_role

Section = tuple[str, list[Panel]]

# Section -> words in the names of users' own metrics that belong there; the first match applies. A name with a slash
# has its own section: train/loss belongs to 'train'.
WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Learning", ("loss", "acc", "accuracy", "perplexity", "ppl", "f1", "bleu", "rouge", "lr", "grad", "error")),
    ("Speed", ("throughput", "tokens", "samples", "second", "seconds", "time", "speed", "steps", "epoch")),
    ("Memory", ("memory", "mem", "ram", "rss")),
    ("Power", ("power", "watts", "energy", "joules", "temperature")),
    ("Bandwidth", ("bandwidth", "network", "disk", "pcie", "nvlink")),
    ("Compute", ("gpu", "cpu", "utilization", "utilisation", "flops", "mfu")),
)  # fmt: skip
OTHER = "Other"
MAX_PANELS = 300  # of one page; the page says how many there are, and finds the others by name
ROLE_ORDER = (
    "loss",
    "validation_loss",
    "score",
    "throughput",
    "other",
    "counter",
)  # what people look for first


def select_sections(chosen: Collection[str], recorded: Collection[str], *, may_grow: bool) -> list[Section]:
    """Return the chosen metrics as one section; without any, the sections of all recorded metrics."""
    return build_chosen_section(chosen) if chosen else build_sections(recorded, may_grow=may_grow)


def build_sections(recorded: Collection[str], *, may_grow: bool) -> list[Section]:
    """Return panels of the recorded metrics. `may_grow`: a run is live, so panels of devices are added hidden."""
    found: dict[str, list[Panel]] = {title: [] for title, _ in SECTIONS}
    for title, row in SECTIONS:
        for panel in row:
            found[title].extend(_panels_of_metrics(panel, recorded, may_grow))
    for name in sorted(set(recorded) - set(BY_NAME), key=get_importance):
        found.setdefault(get_section(name), []).append(Panel(_title(name), (name,)))
    shown = [(title, row) for title, row in found.items() if row]
    return sorted(shown, key=lambda section: min(get_importance(panel.key)[0] for panel in section[1]))


def build_chosen_section(names: Collection[str]) -> list[Section]:
    """Return one section of these metrics, each in its panel."""
    known = {panel.key: panel for _, row in SECTIONS for whole in row for panel in _split(whole)}
    panels = [known.get(name) or Panel(get_metric(name).label, (name,)) for name in names]
    return [("Chosen", panels)] if panels else []


def limit_panels(found: list[Section]) -> tuple[list[Section], int]:
    """Return the MAX_PANELS most important panels in their order, and the number left out."""
    every = [panel for _, row in found for panel in row]
    if len(every) <= MAX_PANELS:
        return found, 0
    kept = {panel.key for panel in sorted(every, key=lambda panel: get_importance(panel.key))[:MAX_PANELS]}
    shown = [(title, [panel for panel in row if panel.key in kept]) for title, row in found]
    return [(title, row) for title, row in shown if row], len(every) - len(kept)


def get_section(name: str) -> str:
    known = HOST_METRICS.get(name)
    if known is not None and known.section is not None:
        return known.section
    if "/" in name:
        return name.split("/")[0] or OTHER
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    return next((title for title, some in WORDS if words & set(some)), OTHER)


def _panels_of_metrics(panel: Panel, recorded: Collection[str], may_grow: bool) -> Iterator[Panel]:
    """Split a panel into one per metric: lines of several metrics and runs would overlap, and stacks cannot."""
    for one in [panel] if len(panel.metrics) == 1 else _split(panel):
        if one.key in recorded:
            yield replace(one, is_optional=False)
        elif may_grow and one.scope != "run":
            yield replace(one, is_optional=True)


def _split(panel: Panel) -> list[Panel]:
    return [
        replace(panel, title=get_metric(name).label, metrics=(name,), kind="lines") for name in panel.metrics
    ]


def get_importance(name: str) -> tuple[int, tuple[int, int, str]]:
    """Sort key of a metric: the engine's own, then by role, then plain names."""
    return (-1 if name in BY_NAME else get_role_order(name)), get_role(name).rank


def get_role_order(name: str) -> int:
    return ROLE_ORDER.index(get_role(name).role)


def _title(name: str) -> str:
    return HOST_METRICS[name].label if name in HOST_METRICS else name.partition("/")[2] or name

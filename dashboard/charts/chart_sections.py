"""The sections of the compare page: panels by topic, for metrics of the engine and for those that anybody logs."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace

from dashboard.charts.panels import SECTIONS, Panel, metric_of
from engine.telemetry.metrics import BY_NAME

Section = tuple[str, list[Panel]]

# Section -> words in the name of a metric that belong there, for metrics that no row of the engine knows. The first
# that fits; a name with a slash makes a section of its own: train/loss stands under 'train'.
WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Learning", ("loss", "acc", "accuracy", "perplexity", "ppl", "f1", "bleu", "rouge", "lr", "grad", "error")),
    ("Speed", ("throughput", "tokens", "samples", "second", "seconds", "time", "speed", "steps", "epoch")),
    ("Memory", ("memory", "mem", "ram", "rss")),
    ("Power", ("power", "watts", "energy", "joules", "temperature")),
    ("Bandwidth", ("bandwidth", "network", "disk", "pcie", "nvlink")),
    ("Compute", ("gpu", "cpu", "utilization", "utilisation", "flops", "mfu")),
)  # fmt: skip
OTHER = "Other"
PANELS_LIMIT = 300  # a page of a thousand charts is found by nobody; the rest is chosen by name


def sections(there: Collection[str], *, may_grow: bool) -> list[Section]:
    """Panels of the metrics that are `there`. `may_grow`: some run goes on, so that panels of devices wait unseen."""
    found: dict[str, list[Panel]] = {title: [] for title, _ in SECTIONS}
    for title, row in SECTIONS:
        for panel in row:
            found[title].extend(_laid_over(panel, there, may_grow))
    for name in sorted(set(there) - set(BY_NAME)):
        found.setdefault(section_of(name), []).append(Panel(_title(name), (name,)))
    return [(title, row) for title, row in found.items() if row]


def cut(found: list[Section]) -> tuple[list[Section], int]:
    """At most PANELS_LIMIT panels, and how many were left out."""
    left, shown, dropped = PANELS_LIMIT, [], 0
    for title, row in found:
        shown.append((title, row[:left]))
        dropped += len(row[left:])
        left -= len(row[:left])
    return [(title, row) for title, row in shown if row], dropped


def section_of(name: str) -> str:
    if "/" in name:
        return name.split("/")[0] or OTHER
    words = set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    return next((title for title, some in WORDS if words & set(some)), OTHER)


def _laid_over(panel: Panel, there: Collection[str], may_grow: bool) -> Iterator[Panel]:
    """One chart a metric where several would make a knot of lines; a stack of several runs cannot be drawn."""
    alone = [panel] if len(panel.metrics) == 1 else _split(panel)
    for one in alone:
        if one.key in there:
            yield replace(one, is_optional=False)
        elif may_grow and one.scope != "run":
            yield replace(one, is_optional=True)


def _split(panel: Panel) -> list[Panel]:
    return [
        replace(panel, title=metric_of(name).label, metrics=(name,), kind="lines") for name in panel.metrics
    ]


def _title(name: str) -> str:
    return name.partition("/")[2] or name


def chosen(names: Collection[str]) -> list[Section]:
    """Just these metrics, each in its panel."""
    ready = {panel.key: panel for _, row in SECTIONS for whole in row for panel in (_split(whole))}
    by_section: dict[str, list[Panel]] = defaultdict(list)
    for name in names:
        by_section["Chosen"].append(ready.get(name) or Panel(metric_of(name).label, (name,)))
    return list(by_section.items())

"""Where the bar at the top leads: one row a page."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    route: str  # its name in dashboard.urls
    title: str
    icon: str
    also: tuple[str, ...] = ()  # routes of pages that belong to it
    is_main: bool = False  # stays in sight where there is little room; the others are under "More"


PLACES = (
    Place("jobs", "Jobs", "list-task", is_main=True),
    Place("queue", "Queue", "hourglass-split", is_main=True),
    Place("runs", "Runs", "graph-down", ("run",), is_main=True),
    Place("sweeps", "Sweeps", "grid-3x3-gap", ("sweep",)),
    Place("compare", "Compare", "layout-split"),
    Place("tradeoffs", "Trade-offs", "graph-down"),
    Place("reports", "Reports", "files", ("report", "report-write", "report-change")),
    Place("advice", "Advice", "lightning-charge"),
    Place("accuracy", "Accuracy", "check-circle-fill"),
    Place("data", "Data", "collection", ("dataset", "data-upload", "dataset-change")),
    Place("accounting", "Accounting", "table"),
    Place("pools", "Pools", "hdd-stack", ("pool-settings", "node", "node-ask", "pool-tokens"), is_main=True),
)

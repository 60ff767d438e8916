"""Items of the navigation bar, one per page."""

from __future__ import annotations

from typing import NamedTuple


class NavigationItem(NamedTuple):
    route: str  # name of the URL
    title: str
    icon: str
    child_routes: tuple[str, ...] = ()  # pages that mark this item as current
    is_main: bool = False  # stays visible on narrow screens; the others move into "More"


NAVIGATION = (
    NavigationItem("jobs", "Jobs", "list-task", is_main=True),
    NavigationItem("queue", "Queue", "hourglass-split", is_main=True),
    NavigationItem("runs", "Runs", "graph-down", ("run",), is_main=True),
    NavigationItem("sweeps", "Sweeps", "grid-3x3-gap", ("sweep",)),
    NavigationItem("compare", "Compare", "layout-split"),
    NavigationItem("tradeoffs", "Trade-offs", "graph-down"),
    NavigationItem("reports", "Reports", "files", ("report", "report-write", "report-change")),
    NavigationItem("advice", "Advice", "lightning-charge"),
    NavigationItem("accuracy", "Accuracy", "check-circle-fill"),
    NavigationItem("data", "Data", "collection", ("dataset", "data-upload", "dataset-change")),
    NavigationItem("accounting", "Accounting", "table"),
    NavigationItem(
        "pools", "Pools", "hdd-stack", ("pool-settings", "node", "node-action", "pool-tokens"), is_main=True
    ),
)

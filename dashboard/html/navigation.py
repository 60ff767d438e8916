"""Items of the navigation bar."""

from __future__ import annotations

from typing import NamedTuple


class NavigationItem(NamedTuple):
    """A row of NAVIGATION in the urls.py of a page family."""

    route: str  # name of the URL
    title: str
    icon: str
    child_routes: tuple[str, ...] = ()  # pages that mark this item as current
    is_main: bool = False  # stays visible on narrow screens; the others move into "More"
    count: str = ""  # figure beside the title: a field of dashboard.pages.home.counts.Counts

"""Logged-in browsers, as for the tests of pages."""

from tests.dashboard.conftest import browser_of, owner_browser, plain_static_files

__all__ = ["browser_of", "owner_browser", "plain_static_files"]

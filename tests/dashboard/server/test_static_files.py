"""Front-end files: those of others are what they were when taken, and all can be served under hashed names."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest
from django.core.management import call_command

from dashboard.html import badges
from dashboard.html.markup import SPRITE
from dashboard.html.navigation import PLACES
from dashboard.pages.jobs.actions import WISHES
from dashboard.pages.nodes.actions import TEXTS
from dashboard.pages.runs.attempts import OUTCOMES

ROOT = Path(__file__).resolve().parents[3]
STATIC = ROOT / "dashboard" / "static"
LOCK = json.loads((STATIC / "vendor" / "lock.json").read_text())


@pytest.mark.parametrize("row", LOCK, ids=lambda row: row["folder"])
def test_a_vendored_file_is_what_the_lock_says(row):
    folder = STATIC / "vendor" / row["folder"]
    found = {
        path.name: base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
        for path in folder.iterdir()
    }
    assert found == row["sha384"]
    assert "LICENSE" in found
    assert row["licence"] in ("MIT", "0BSD", "OFL-1.1")


def test_nothing_is_vendored_without_a_row():
    folders = {path.name for path in (STATIC / "vendor").iterdir() if path.is_dir()}
    assert folders == {row["folder"] for row in LOCK}


def looks(table: dict) -> list[badges.Badge]:
    """The badges in one table of dashboard.html.badges, whose rows may say more than a badge."""
    parts = [part for row in table.values() for part in (row if type(row) is tuple else (row,))]
    return [part for part in parts if isinstance(part, badges.Badge)]


def test_the_sprite_holds_the_icons_that_are_used_and_no_others():
    held = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / SPRITE).read_text()))
    pages = "".join(path.read_text() for path in (ROOT / "templates").rglob("*.html"))
    used = set(re.findall(r'{% icon "([^"]+)"', pages))
    used |= set(re.findall(r'icon\("([^"]+)"\)', (ROOT / "dashboard/pages/table/rendering.py").read_text()))
    used |= {ending.icon for ending in OUTCOMES.values()}
    used |= {wish.icon for wish in WISHES.values()}
    used |= {
        badge.icon for table in vars(badges).values() if isinstance(table, dict) for badge in looks(table)
    }
    used |= {text.icon for text in TEXTS.values()}
    used |= {place.icon for place in PLACES}
    assert held == used


def test_all_files_can_be_hashed_and_modules_import_hashed_names(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "dashboard.server.storage.HashedStaticFiles"},
    }
    call_command("collectstatic", verbosity=0, interactive=False)
    manifest = json.loads((tmp_path / "staticfiles.json").read_text())["paths"]
    charts = (tmp_path / manifest["js/charts.js"]).read_text()
    assert Path(manifest["js/chart/page.js"]).name in charts
    assert not re.search(r'from "\./[a-z/-]+\.js"', charts)


COMPARE_LIMIT = 120_000  # bytes of JavaScript that the compare page ships, gzipped


def test_the_compare_page_ships_little_javascript(owner_browser):
    page = owner_browser.get("/compare/").text
    named = {
        STATIC / re.sub(r"^.*?static/", "", path) for path in re.findall(r'<script[^>]* src="([^"]+)"', page)
    }
    shipped = set().union(*(imported(path) for path in named), imported(STATIC / "js/live-worker.js"))
    assert {"uPlot.iife.min.js", "htmx.min.js", "page.js", "paint.js", "app.js"} <= {
        path.name for path in shipped
    }
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in shipped) < COMPARE_LIMIT


def imported(path: Path) -> set[Path]:
    """A file and all the modules that it needs."""
    names = re.findall(r'^import .* from "([^"]+)"', path.read_text(), re.MULTILINE)
    return {path}.union(*(imported((path.parent / name).resolve()) for name in names))

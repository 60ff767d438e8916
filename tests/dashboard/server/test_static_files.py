"""Front-end files: vendored ones are unchanged, and all can be served under hashed names."""

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
from dashboard.pages.jobs.actions import ACTIONS
from dashboard.pages.nodes.actions import TEXTS
from dashboard.pages.runs.attempts import OUTCOMES
from dashboard.urls import NAVIGATION

ROOT = Path(__file__).resolve().parents[3]
STATIC = ROOT / "dashboard" / "static"
LOCK = json.loads((STATIC / "vendor" / "lock.json").read_text())
IMPORT = r'^(?:import|\}) .*?from "([^"]+)"'  # the last line of an import statement
HASHED = re.compile(r"\.[0-9a-f]{12}\.js$")


@pytest.mark.parametrize("row", LOCK, ids=lambda row: row["folder"])
def test_a_vendored_file_matches_the_lock(row):
    folder = STATIC / "vendor" / row["folder"]
    found = {
        path.name: base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
        for path in folder.iterdir()
    }
    assert found == row["sha384"]
    assert "LICENSE" in found
    assert row["licence"] in ("MIT", "0BSD", "OFL-1.1")


def test_every_vendored_folder_has_a_row():
    folders = {path.name for path in (STATIC / "vendor").iterdir() if path.is_dir()}
    assert folders == {row["folder"] for row in LOCK}


def badges_of(table: dict) -> list[badges.Badge]:
    """Return the badges in one table of dashboard.html.badges, whose rows may hold more than a badge."""
    parts = [part for row in table.values() for part in (row if type(row) is tuple else (row,))]
    return [part for part in parts if isinstance(part, badges.Badge)]


def test_the_sprite_holds_the_icons_that_are_used_and_no_others():
    held = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / SPRITE).read_text()))
    pages = "".join(path.read_text() for path in (ROOT / "templates").rglob("*.html"))
    used = set(re.findall(r'{% icon "([^"]+)"', pages))
    used |= set(re.findall(r'icon\("([^"]+)"\)', (ROOT / "dashboard/pages/table/rendering.py").read_text()))
    used |= {outcome.icon for outcome in OUTCOMES.values()}
    used |= {action.icon for action in ACTIONS.values()}
    used |= {
        badge.icon for table in vars(badges).values() if isinstance(table, dict) for badge in badges_of(table)
    }
    used |= {text.icon for text in TEXTS.values()}
    used |= {item.icon for item in NAVIGATION}
    assert held == used


def test_all_files_can_be_hashed_and_modules_import_hashed_names(settings, tmp_path):
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "dashboard.server.storage.HashedStaticFiles"},
    }
    call_command("collectstatic", verbosity=0, interactive=False)
    manifest = json.loads((tmp_path / "staticfiles.json").read_text())["paths"]
    modules = {name: hashed for name, hashed in manifest.items() if re.fullmatch(r"js/.*\.js", name)}
    named = {
        name: set(re.findall(IMPORT, (tmp_path / hashed).read_text(), re.MULTILINE))
        for name, hashed in modules.items()
    }
    assert f"./{Path(modules['js/chart/page.js']).name}" in named["js/chart/start.js"]
    assert not {target for targets in named.values() for target in targets if not HASHED.search(target)}


COMPARE_LIMIT = 120_000  # bytes of JavaScript that the compare page ships, gzipped


def test_the_compare_page_ships_little_javascript(owner_browser):
    page = owner_browser.get("/compare/").text
    named = {
        STATIC / re.sub(r"^.*?static/", "", path) for path in re.findall(r'<script[^>]* src="([^"]+)"', page)
    }
    shipped = set().union(*(imported(path) for path in named), imported(STATIC / "js/shared/live-worker.js"))
    assert {"uPlot.iife.min.js", "htmx.min.js", "page.js", "paint.js", "app.js"} <= {
        path.name for path in shipped
    }
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in shipped) < COMPARE_LIMIT


def imported(path: Path) -> set[Path]:
    """Return a file and all modules that it imports."""
    names = re.findall(IMPORT, path.read_text(), re.MULTILINE)
    return {path}.union(*(imported((path.parent / name).resolve()) for name in names))

"""Limits of pages: what is cut is counted, and leads to the rest."""

from __future__ import annotations

import ast
import random
import re

import pytest
from django.conf import settings
from django.http import QueryDict

from dashboard.html.shown_rows import MORE_ROWS, select_shown
from jobs.models import Report
from jobs.people import sharing
from tests.dashboard.page_text import collapse

ROOT = settings.BASE_DIR
PYTHON = ("dashboard/pages", "dashboard/api", "dashboard/charts", "dashboard/mlflow", "jobs/runs")
TEXT = "length of a text"
# Slice up to a constant -> why nothing is lost without a word. A list of select_shown, which counts and shows all on
# request, needs no entry: there is no slice.
REASONS = {
    "dashboard/api/nodes.py EVENTS_LIMIT": "the answer has the total beside its items",
    "dashboard/charts/chart_sections.py MAX_PANELS": "the page says n of m and searches by name",
    "dashboard/charts/metric_search.py FIND_CHARS": TEXT,
    "dashboard/charts/selection.py MAX_PLACES": "places of colours, twice as many as runs",
    "dashboard/charts/selection.py MAX_RUNS": "the page says how many are left out, and why",
    "dashboard/mlflow/models.py 1000": "rows that are read for one answer of the peer's API",
    "dashboard/mlflow/models.py MOST": "the peer's API returns no more",
    "dashboard/pages/accounting/spending.py AREAS_LIMIT": "the rest is one area, named others",
    "dashboard/pages/data/views.py CLASSES_SHOWN": "the page says how many classes are left",
    "dashboard/pages/nodes/views.py CHARTED": "the list of jobs above the charts has all",
    "dashboard/pages/planning/accuracy.py MAX_DOTS": "the drawing says newest n of m",
    "dashboard/pages/planning/accuracy_views.py RECENT": "the list says that it has the newest",
    "dashboard/pages/planning/tradeoffs.py DEFAULT_AXES": "the first choice of a list that has all",
    "dashboard/pages/planning/tradeoffs.py MAX_AXES": "the form has no more",
    "dashboard/pages/planning/tradeoffs.py MAX_RUNS": "the page says n of m: the newest",
    "dashboard/pages/reports/views.py REPORT_LIMIT": TEXT,
    "dashboard/pages/runs/annotation_views.py BULK_RUNS": "the form sends no more, and says how many were changed",
    "dashboard/pages/runs/external.py METRICS_SHOWN": "the main figures; all metrics are charts",
    "dashboard/pages/runs/external.py NAMES_READ": "names among which the main figures are chosen",
    "dashboard/pages/runs/external.py SHOWN": "names and hosts that are read for titles",
    "dashboard/pages/runs/timeline.py ROWS_SHOWN": "the picture says how many ranks are not drawn",
    "dashboard/pages/sweeps/views.py COMPARED": "the compare page has as many",
    "dashboard/pages/sweeps/views.py DRAWN": "the page says: the best n of the runs",
    "dashboard/pages/reports/blocks.py MAX_PANELS": "the caption says n of m and leads to the compare page",
    "dashboard/pages/table/export.py RUNS_LIMIT": "more rows are refused with a sentence",
    "dashboard/pages/table/query.py MARKED_LIMIT": "runs that a person pins or hides by hand",
    "dashboard/pages/table/rows.py ROWS_A_PAGE": "rows that a page refreshes",
    "dashboard/pages/table/views.py FILTER_CHARS": TEXT,
    "dashboard/pages/jobs/queue_views.py RUNNING_SHOWN": "the page says how many more run",
    "jobs/runs/completing.py ITEMS_LIMIT": "suggestions, which typing narrows",
    "jobs/runs/differences.py MAX_FACET_VALUES": "the list of the compare page says n of m",
    "jobs/runs/known.py KEYS_LIMIT": "names are searched on the server as they are typed",
    "jobs/runs/known.py VALUES_LIMIT": "values are searched on the server as they are typed",
    "jobs/runs/lineage.py MAX_CHILDREN": "the card counts all children",
    "jobs/runs/lineage.py MAX_GENERATIONS": "the card says that there are earlier ones",
    "jobs/runs/metric_comparison.py CANDIDATES": "the most important names; the table says n of m",
    "jobs/runs/usual_metrics.py MOST": "default columns of a table that can show all",
    "jobs/runs/usual_metrics.py ROWS_READ": "rows among which default columns are chosen",
    "jobs/runs/usual_metrics.py SAMPLE_RUNS": "runs from which default columns are chosen",
    "js/chart/export.js MAX_TABLE_ROWS": "the title says the first n of m, and that CSV has all",
    "js/chart/readout.js MAX_LEGEND": "the legend says n of m and leads to all",
    "js/chart/tooltip.js MAX_ROWS": "the sentence says how many more",
    "js/chart/view-fields.js MAX_TEXT": TEXT,
    "js/planning/kept-table.js MAX_ROWS": "the last row says n of m",
    "js/planning/tradeoffs.js MAX_COMPARED": "the button says n of m",
    "js/pools/map-legend.js MAX_REASONS": "the legend counts the others",
}
# Limits of pages that were merged together with this test and still have to be looked at.
UNREVIEWED = {
    "dashboard/pages/home/alerts.py 2000",
    "dashboard/pages/home/alerts.py OF_A_KIND",
    "dashboard/pages/home/search.py METRICS_READ",
    "dashboard/pages/home/search.py METRIC_RUNS",
    "dashboard/pages/home/search.py RUNS_READ",
    "dashboard/pages/home/search.py SHOWN",
    "dashboard/pages/home/search.py TEXT_CHARS",
    "dashboard/pages/home/search.py WORDS",
    "dashboard/pages/home/search_views.py TEXT_CHARS",
    "dashboard/pages/home/views.py 100",
    "dashboard/pages/home/views.py ALERTS_SHOWN",
    "dashboard/pages/home/views.py JOBS_SHOWN",
    "dashboard/pages/home/views.py RUNS_SHOWN",
    "dashboard/pages/people/roles.py NAMED",
    "dashboard/pages/projects/summaries.py 2000",
    "dashboard/pages/projects/summaries.py BEST",
    "dashboard/pages/projects/summaries.py METRICS_RANKED",
    "dashboard/pages/projects/summaries.py NEWEST",
    "dashboard/pages/projects/views.py 20",
    "dashboard/pages/runs/about_views.py PROJECTS_LIMIT",
    "dashboard/pages/runs/history.py EVENTS_SHOWN",
    "dashboard/pages/runs/log_views.py SEARCH_CHARS",
    "dashboard/pages/runs/media_panel.py NAMES_SHOWN",
    "dashboard/pages/runs/media_panel.py TABLE_ROWS",
    "dashboard/pages/runs/tabs.py MAIN_PANELS",
    "dashboard/pages/runs/tabs.py PARAMS_LISTED",
    "dashboard/pages/table/views.py COUNTED",
}
SHORT = 12  # a number below is a text's beginning or a few examples in a sentence


def slices_of_python() -> set[str]:
    found = set()
    for folder in PYTHON:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) and node.slice.upper:
                    name = _constant(node.slice.upper)
                    if name and not _is_text(node):
                        found.add(f"{path.relative_to(ROOT)} {name}")
    return found


def _constant(upper: ast.expr) -> str:
    """The limit's name or number; '' for a variable or a short beginning."""
    if isinstance(upper, ast.BinOp):  # LIMIT + 1
        return _constant(upper.left)
    if isinstance(upper, ast.Attribute):
        return upper.attr if upper.attr.isupper() else ""
    if isinstance(upper, ast.Name):
        return upper.id if upper.id.isupper() else ""
    is_number = isinstance(upper, ast.Constant) and isinstance(upper.value, int)
    return str(upper.value) if is_number and upper.value > SHORT else ""


def _is_text(node: ast.Subscript) -> bool:
    """Whether a number cuts a text: of a name such as text or message, within an f-string, or of a request's field."""
    if not isinstance(node.slice.upper, ast.Constant):
        return False
    words = (
        "text",
        "token",
        "size",
        "filter",
        "path",
        "key",
        "kind",
        "encoding",
        "name",
        "note",
        "repeated",
        "month",
        "[0]",
        ".get(",
    )
    return any(word in ast.unparse(node.value).lower() for word in words)


def slices_of_scripts() -> set[str]:
    root = ROOT / "dashboard/static"
    return {
        f"{path.relative_to(root)} {name}"
        for path in (root / "js").rglob("*.js")
        for name in re.findall(r"\.slice\(0, ([A-Z][A-Z_]+)\)", path.read_text())
    }


def test_each_limit_of_a_page_is_counted_or_has_a_reason():
    found = slices_of_python() | slices_of_scripts()
    assert found - set(REASONS) - UNREVIEWED == set(), (
        "say n of m (dashboard.html.shown_rows), or give the reason here"
    )
    assert (set(REASONS) | UNREVIEWED) - found == set(), "no such limit any more"


def test_templates_do_not_drop_rows():
    rows = re.compile(r"{% for [^%]*\|slice:\"(?::(\d+)|(\d+):)\"")
    found = {
        f"{path.relative_to(ROOT / 'templates')} {match[0]}"
        for path in (ROOT / "templates").rglob("*.html")
        for match in rows.finditer(path.read_text())
    }
    assert {
        line for line in found if not line.startswith(("compare/_metrics.html", "runs/_verdict.html"))
    } == set()


@pytest.mark.parametrize("seed", range(100))
def test_the_first_rows_are_shown_and_all_are_counted(seed: int):
    rng = random.Random(seed)
    limit, total = rng.randint(1, 50), rng.choice((0, 1, rng.randint(0, 200), rng.randint(0, 2 * MORE_ROWS)))
    rows = list(range(total))
    asked = rng.random() < 0.5
    shown = select_shown(rows, limit, QueryDict("more=a&more=b" if asked else "more=b"), "a")
    expected = min(total, MORE_ROWS if asked else limit)
    assert list(shown) == rows[:expected]
    assert (len(shown), shown.total, shown.is_cut) == (expected, total, expected < total)
    assert not (shown.is_cut and not asked) or shown.can_grow


def test_a_list_of_reports_says_how_many_there_are_and_shows_all(owner_browser, owner, team):
    sharing.create_report(team=team, owner=owner, title="first", text="")
    model = Report.objects.get()
    Report.objects.bulk_create(
        Report(id=f"r{n:011d}", team=team, owner=owner, title=f"report {n}", changed_at=model.changed_at)
        for n in range(249)
    )
    page = owner_browser.get("/reports/")
    assert len(page.context["reports"]) == 200
    assert '200 of 250 <a href="?more=reports">Show all</a>' in collapse(page.text)
    whole = owner_browser.get("/reports/?more=reports")
    assert len(whole.context["reports"]) == 250
    assert "Show all" not in whole.text

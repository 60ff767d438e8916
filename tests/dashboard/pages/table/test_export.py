"""Export of the run table: columns, filter and order as on screen, all pages, exact numbers."""

from __future__ import annotations

import csv
import io
import json
import math
import sys

import pytest
from pyarrow import parquet

from dashboard.pages.table import export
from jobs.tracking import external_runs, params

SAVE = "/runs/save/"


@pytest.fixture
def three(team, owner, give_metrics):
    """Runs whose losses are 0.3, 0.1 and NaN; the middle one has a tag and other parameters."""
    made = {}
    for name, loss, chosen in (
        ("first", 0.3, {"lr": "0.10", "layers": "8"}),
        ("=second", 0.1, {"lr": "3e-4", "layers": "12", "seed": "007"}),
        ("third", math.nan, {"lr": "no", "layers": "8"}),
    ):
        made[name] = external_runs.create(team=team, owner=owner, name=name, origin="test")
        params.store(made[name], chosen)
        give_metrics(made[name], loss=loss)
    external_runs.set_tags(made["=second"], {"baseline": "", "stage": "final"})
    return made


def download(browser, form="json", **query):
    answer = browser.get(SAVE, {"format": form} | query)
    assert answer.status_code == 200, answer.text
    assert answer["Content-Disposition"].endswith(f'.{form}"')
    return answer.content


QUERY = {
    "filter": "loss < 1",
    "sort": "-last(loss)",
    "col": ["last(loss)", "param:layers", "param:lr", "tag:baseline"],
}


def test_columns_filter_and_order_are_those_of_the_address(owner_browser, three):
    rows = json.loads(download(owner_browser, **QUERY))
    assert [row["name"] for row in rows] == ["first", "=second"]
    assert list(rows[0]) == ["run", "name", "tags", "last(loss)", "param:layers", "param:lr", "tag:baseline"]
    assert rows[1] == {
        "run": three["=second"].id, "name": "=second", "tags": "baseline, stage=final", "last(loss)": 0.1,
        "param:layers": 12, "param:lr": 3e-4, "tag:baseline": "yes",
    }  # fmt: skip


def test_every_format_holds_the_same_rows(owner_browser, three):
    rows = json.loads(download(owner_browser, "json", **QUERY))
    lines = [json.loads(line) for line in download(owner_browser, "jsonl", **QUERY).splitlines()]
    table = parquet.read_table(io.BytesIO(download(owner_browser, "parquet", **QUERY))).to_pylist()
    sheet = list(csv.DictReader(io.StringIO(download(owner_browser, "csv", **QUERY).decode())))
    assert rows == lines == table
    assert [row["name"] for row in sheet] == [
        "first",
        "'=second",
    ]  # a spreadsheet does not run it as a formula
    assert [float(row["last(loss)"]) for row in sheet] == [row["last(loss)"] for row in rows]


def test_a_parameter_that_is_not_always_a_number_stays_a_text(owner_browser, three):
    rows = json.loads(
        download(owner_browser, sort="created", col=["param:lr", "last(loss)", "param:seed", "created"])
    )
    assert [row["param:lr"] for row in rows] == ["0.10", "3e-4", "no"]
    assert [row["last(loss)"] for row in rows] == [0.3, 0.1, "NaN"]
    assert [row["param:seed"] for row in rows] == [None, 7, None]
    assert [row["created"] for row in rows] == [run.created_at.isoformat() for run in three.values()]


def test_all_pages_are_exported_with_pinned_runs_first(owner_browser, three, monkeypatch):
    monkeypatch.setattr(export, "CHUNK_RUNS", 2)
    rows = json.loads(download(owner_browser, sort="name", page="7", pin=three["third"].id))
    assert [row["name"] for row in rows] == ["third", "=second", "first"]


def test_parameters_that_differ_are_columns_too(owner_browser, three):
    rows = json.loads(download(owner_browser, col="name", differs="1"))
    assert set(rows[0]) == {"run", "name", "tags", "param:lr", "param:layers", "param:seed"}


def test_groups_are_exported_as_groups(owner_browser, three):
    rows = json.loads(download(owner_browser, group="param:layers", col="last(loss)"))
    assert [(row["param:layers"], row["runs"], row["last(loss) mean"]) for row in rows] == [
        ("8", 2, 0.3),
        ("12", 1, 0.1),
    ]
    assert rows[0]["last(loss) count"] == 1 and rows[0]["last(loss) spread"] is None


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_a_table_without_runs_is_a_file_without_rows(stranger_browser, three, form):
    """A stranger's table has no runs, even if the stranger knows an id."""
    data = download(stranger_browser, form, pin=three["first"].id)
    assert b"first" not in data
    if form == "json":
        assert json.loads(data) == []
    if form == "parquet":
        assert parquet.read_table(io.BytesIO(data)).num_rows == 0


def test_an_export_that_is_not_possible_has_a_message(owner_browser, three, monkeypatch):
    assert owner_browser.get(SAVE, {"format": "xls"}).status_code == 404
    wrong = owner_browser.get(SAVE, {"format": "csv", "filter": "stat:running"})
    assert (wrong.status_code, "The nearest is state:." in wrong.text) == (422, True)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install" in owner_browser.get(SAVE, {"format": "parquet"}).text
    monkeypatch.setattr(export, "RUNS_LIMIT", 2)
    assert "Narrow the filter" in owner_browser.get(SAVE, {"format": "csv"}).text


def test_the_page_links_to_the_export_of_its_query(owner_browser, three):
    text = owner_browser.get("/runs/", {"filter": "loss < 1", "sort": "name"}).text
    assert 'href="/runs/save/?filter=loss+%3C+1&amp;sort=name&amp;format=csv"' in text

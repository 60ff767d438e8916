"""About section of the run page: name, note, tags, archive state and changes."""

from __future__ import annotations

import pytest

from jobs.models import Run, RunEvent
from jobs.tracking import external_runs, params


@pytest.fixture
def run(make_job) -> Run:
    return make_job(name="first").run


def write(browser, run, **values):
    return browser.post(f"/runs/{run.id}/about/", values, headers={"HX-Request": "true"})


def test_a_name_and_a_note_are_written_and_the_note_is_sanitised(owner_browser, run):
    answer = write(owner_browser, run, name="better", note="**bold** <script>alert(1)</script>")
    assert "<strong>bold</strong>" in answer.text
    assert "<script>" not in answer.text
    assert "changed" in answer.headers["HX-Trigger"]
    page = owner_browser.get(f"/runs/{run.id}/").text
    assert "<strong>bold</strong>" in page
    assert "<h1" in page and "better</h1>" in page
    assert set(RunEvent.objects.values_list("actor", "kind")) == {("olga", "run.name"), ("olga", "run.note")}


def test_tags_are_added_and_removed(owner_browser, run):
    assert "baseline" in write(owner_browser, run, add="baseline, stage=final").text
    assert dict(run.tags.values_list("key", "value")) == {"baseline": "", "stage": "final"}
    write(owner_browser, run, drop="baseline")
    assert dict(run.tags.values_list("key", "value")) == {"stage": "final"}


def test_a_tag_with_a_comma_can_be_removed(owner_browser, run):
    external_runs.set_tags(run, {"a, b": "1"})
    write(owner_browser, run, drop="a, b")
    assert not run.tags.exists()


def test_archiving_and_restoring_are_recorded(owner_browser, run):
    assert "Restore" in write(owner_browser, run, archive="1").text
    assert "Archive" in write(owner_browser, run, archive="").text
    assert [event.kind for event in run.events.all()] == ["run.archived", "run.restored"]
    assert "run archived" in owner_browser.get(f"/runs/{run.id}/about/").text


@pytest.mark.parametrize(
    ("values", "kept"),
    [({"note": "x" * 20_001}, "x" * 20_001), ({"add": "=odd"}, 'value="=odd"'), ({"name": " "}, "1 to 250")],
)
def test_an_invalid_text_is_refused_and_stays_in_its_field(owner_browser, run, values, kept):
    answer = write(owner_browser, run, **values)
    assert 'role="alert"' in answer.text
    assert kept in answer.text
    assert not RunEvent.objects.exists()


def test_a_run_without_a_spec_shows_its_parameters_and_state(owner_browser, team, owner):
    run = external_runs.create(team=team, owner=owner, name="logged", origin="test")
    params.store(run, {"lr": "0.01"})
    page = owner_browser.get(f"/runs/{run.id}/").text
    assert "0.01" in page
    assert "running" in page


def test_a_stranger_gets_404_and_a_viewer_only_reads(stranger_browser, viewer_browser, run):
    for answer in (stranger_browser.get(f"/runs/{run.id}/about/"), write(stranger_browser, run, name="mine")):
        assert answer.status_code == 404
    assert write(viewer_browser, run, name="mine").status_code == 404
    assert "hx-post" not in viewer_browser.get(f"/runs/{run.id}/about/").text
    assert not RunEvent.objects.exists()

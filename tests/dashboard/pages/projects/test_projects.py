"""Pages of projects and the bin: counts, best runs, moving, archiving, deleting and restoring."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.models import Deletion, Project, Run, RunMetric
from jobs.tracking import external_runs, projects
from tests.dashboard.page_text import collapse

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(team):
    return projects.create(team, "alpha", actor="olga")


@pytest.fixture
def log(team, owner, project):
    """log('a', loss=1.0): an ended run of the project, with metrics."""

    def make(name: str, state: str = "succeeded", home: Project | None = project, **values: float) -> Run:
        run = external_runs.create(team=team, owner=owner, name=name, origin="test", project=home)
        external_runs.set_state(run, state, actor="olga")
        for key, value in values.items():
            RunMetric.objects.create(
                run=run,
                key=key,
                last=value,
                last_at_us=1,
                low=value,
                high=value,
                mean=value,
                num_finite=1,
                count=1,
            )
        return run

    return make


def test_the_list_counts_runs_and_shows_those_in_no_project(owner_browser, stranger_browser, log):
    log("a")
    log("b", state="failed")
    log("c", home=None)
    rows = owner_browser.get("/projects/").context["page"].object_list
    assert [(row.project and row.project.name, row.num_runs, row.num_failed) for row in rows] == [
        (None, 1, 0), ("alpha", 2, 1),
    ]  # fmt: skip
    assert "alpha" not in stranger_browser.get("/projects/").text


def test_the_addresses_of_runs_open_exactly_these_runs(owner_browser, log):
    log("inside")
    log("outside", home=None)
    for row in owner_browser.get("/projects/").context["page"].object_list:
        shown = owner_browser.get(row.address)
        assert shown.context["filter_error"] is None
        assert shown.context["total"] == row.num_runs == 1


def test_the_page_shows_newest_and_best_runs_by_the_better_direction(owner_browser, project, log):
    for name, loss, acc in (("poor", 3.0, 0.1), ("good", 1.0, 0.9), ("fair", 2.0, 0.5)):
        log(name, loss=loss, acc=acc)
    context = owner_browser.get(f"/projects/{project.id}/").context
    best = {one.metric: [run.name for run, _ in one.rows] for one in context["best"]}
    assert best == {"loss": ["good", "fair", "poor"], "acc": ["good", "fair", "poor"]}
    assert [run.name for run, _ in context["newest"]] == ["fair", "good", "poor"]
    for one in context["best"]:
        assert owner_browser.get(one.address).context["filter_error"] is None


def test_more_runs_take_the_same_number_of_queries(owner_browser, project, log):
    def count(address):
        with CaptureQueriesContext(connection) as queries:
            assert owner_browser.get(address).status_code == 200
        return len(queries)

    log("a", loss=1.0)
    log("b", loss=2.0)
    few = [count("/projects/"), count(f"/projects/{project.id}/")]
    for number in range(6):
        log(f"c{number}", loss=1.0 + number)
        projects.create(project.team, f"p{number}", actor="olga")
    assert [count("/projects/"), count(f"/projects/{project.id}/")] == few


def test_a_run_moves_and_back(owner_browser, viewer_browser, project, log):
    run = log("a", home=None)
    assert viewer_browser.post(f"/runs/{run.id}/move/", {"project": project.id}).status_code == 404
    owner_browser.post(f"/runs/{run.id}/move/", {"project": project.id})
    assert Run.objects.get().project == project
    owner_browser.post("/runs/many/move/", {"run": run.id, "project": "beta"})
    assert Run.objects.get().project.name == "beta"
    owner_browser.post(f"/runs/{run.id}/move/", {"project": ""})
    assert Run.objects.get().project is None
    assert [event.kind for event in run.events.all()][-3:] == ["run.moved"] * 3


def test_delete_asks_with_what_is_lost_and_the_bin_restores(
    owner_browser, viewer_browser, stranger_browser, project, log
):
    run = log("mine", loss=1.0)
    asks = collapse(owner_browser.get(f"/runs/{run.id}/delete/").text)
    assert "1 points of 1 metric" in asks and "7 days" in asks and "Keep run" in asks
    for browser in (viewer_browser, stranger_browser):
        assert browser.post(f"/runs/{run.id}/delete/").status_code == 404
    owner_browser.post(f"/runs/{run.id}/delete/")
    for address in (f"/runs/{run.id}/", f"/api/v1/runs/{run.id}"):
        assert owner_browser.get(address).status_code == 404
    assert "mine" not in owner_browser.get("/runs/?page=1").text
    assert "mine" in owner_browser.get("/projects/bin/").text
    assert "mine" not in stranger_browser.get("/projects/bin/").text
    made = Deletion.objects.get()
    assert viewer_browser.post(f"/projects/bin/{made.id}/restore/").status_code == 404
    owner_browser.post(f"/projects/bin/{made.id}/restore/")
    assert owner_browser.get(f"/runs/{run.id}/").status_code == 200
    again = owner_browser.post(f"/projects/bin/{made.id}/restore/", follow=True)
    assert "is not in the bin any more" in again.text


def test_a_whole_project_is_archived_deleted_and_restored(owner_browser, project, log):
    log("a")
    owner_browser.post(f"/projects/{project.id}/change/", {"archive": "1"}, follow=True)
    assert "alpha" not in owner_browser.get("/projects/").text
    assert "alpha" in owner_browser.get("/projects/?archived=1").text
    owner_browser.post(f"/projects/{project.id}/change/", {"archive": ""})
    owner_browser.post(f"/projects/{project.id}/delete/")
    assert owner_browser.get(f"/projects/{project.id}/").status_code == 404
    owner_browser.post(f"/projects/bin/{Deletion.objects.get().id}/restore/")
    assert owner_browser.get(f"/projects/{project.id}/").context["num_runs"] == 1


def test_many_runs_are_deleted_from_the_table_with_an_undo(owner_browser, log):
    runs = [log(name) for name in "abc"]
    answer = owner_browser.post(
        "/runs/many/delete/", {"run": [run.id for run in runs[:2]]}, headers={"HX-Request": "true"}
    )
    assert answer.status_code == 204 and "2 runs moved to the bin." in answer["HX-Trigger"]
    made = Deletion.objects.get()
    assert f"/projects/bin/{made.id}/restore/" in answer["HX-Trigger"] and made.num_runs == 2


def test_the_api_lists_moves_deletes_and_restores(owner_browser, stranger_browser, project, log):
    run = log("a", home=None)
    send = {"content_type": "application/json"}
    assert [one["name"] for one in owner_browser.get("/api/v1/projects").json()["items"]] == ["alpha"]
    moved = owner_browser.post("/api/v1/projects/move", {"runs": [run.id], "project": "new"}, **send)
    assert moved.json() == {"moved": 1}
    for archived in (True, False):
        owner_browser.patch(f"/api/v1/runs/{run.id}", {"archived": archived}, **send)
        assert (Run.objects.get().archived_at is not None) == archived
    assert stranger_browser.delete(f"/api/v1/runs/{run.id}").status_code == 404
    made = owner_browser.delete(f"/api/v1/runs/{run.id}").json()
    assert (made["state"], made["runs"], made["actor"]) == ("in_bin", ["a"], "olga")
    assert owner_browser.get(f"/api/v1/runs/{run.id}").status_code == 404
    assert owner_browser.get("/api/v1/runs").json()["total"] == 0
    assert owner_browser.post(f"/api/v1/bin/{made['id']}/restore", **send).json()["state"] == "restored"
    assert owner_browser.post(f"/api/v1/bin/{made['id']}/restore", **send).status_code == 409
    assert owner_browser.get(f"/api/v1/runs/{run.id}").status_code == 200
    assert owner_browser.delete(f"/api/v1/projects/{project.id}").json()["project"] == "alpha"
    refused = owner_browser.post("/api/v1/projects", {"name": "alpha"}, **send)
    assert refused.status_code == 422 and "in the bin" in refused.json()["detail"]


def test_the_command_does_the_same(owner, team, log):
    run = log("a", home=None)

    def project(*words: str) -> str:
        out = StringIO()
        call_command("project", "--user", "olga", *words, stdout=out)
        return out.getvalue()

    assert "moved" in project("move", run.id, "--to", "beta")
    assert "beta" in project("list")
    assert "in the bin" in project("delete", "beta")
    number = str(Deletion.objects.get().id)
    assert number in project("bin")
    assert "restored" in project("undelete", number)
    assert "1 archived" in project("archive-runs", run.id) and "1 restored" in project("restore-runs", run.id)
    assert "in the bin" in project("delete-runs", run.id)
    for words in (["undelete", "999"], ["archive", "nowhere"], ["move", "nothere", "--to", "x"]):
        with pytest.raises(CommandError):
            project(*words)

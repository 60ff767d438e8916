"""Media, output, environment, alerts and versions over HTTP."""

from __future__ import annotations

import pytest

from jobs.models import MediaEntry, RunEvent
from jobs.tracking import artefacts, external_runs

ENTRY = {"key": "samples", "kind": "image", "step": 3, "at_us": 1_000_000, "items": [{"path": "media/a.png"}]}


@pytest.fixture
def run(team, owner):
    return external_runs.begin(
        team=team, owner=owner, name="mine", origin="fourwalls", project="p", params={"lr": "1"}
    )


def post(browser, address, values):
    return browser.post(f"/api/v1{address}", values, content_type="application/json")


def test_entries_are_stored_replaced_and_listed_by_name(owner_browser, run):
    for step in (3, 5, 3):
        answer = post(owner_browser, f"/runs/{run.id}/media", {"entries": [ENTRY | {"step": step}]})
        assert answer.status_code == 200, answer.content
    names = owner_browser.get(f"/api/v1/runs/{run.id}/media").json()["names"]
    assert names == [
        {"key": "samples", "source": "run", "kind": "image", "num_steps": 2, "first_step": 3, "last_step": 5}
    ]
    entries = owner_browser.get(f"/api/v1/runs/{run.id}/media/entries?key=samples").json()["items"]
    assert [one["step"] for one in entries] == [3, 5] and entries[0]["at"] == 1.0


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "hologram"}, {"key": ""}, {"key": "x" * 251}, {"items": [{"t": "x" * 70_000}]},
        {"items": [{}] * 257}, {"step": "x"}, {"colour": "red"}, {"source": "host:a"}, {"at_us": -1},
    ],
)  # fmt: skip
def test_a_bad_entry_is_refused_and_none_is_stored(owner_browser, run, change):
    answer = post(owner_browser, f"/runs/{run.id}/media", {"entries": [ENTRY, ENTRY | change]})
    assert answer.status_code == 422 and answer.json()["detail"]
    assert not MediaEntry.objects.exists()


def test_strangers_and_viewers_do_not_write_and_strangers_do_not_read(stranger_browser, viewer_browser, run):
    bodies = {
        "media": {"entries": [ENTRY]}, "console": {"first": 0, "lines": ["x"]}, "environment": {"facts": {"a": 1}},
        "alerts": {"title": "x"}, "versions": {"name": "m", "prefix": "v/m", "digest": "d"},
    }  # fmt: skip
    for name, body in bodies.items():
        for browser in (stranger_browser, viewer_browser):
            assert post(browser, f"/runs/{run.id}/{name}", body).status_code == 404
    for name in ("media", "console", "environment", "summary", "media/entries?key=samples"):
        assert stranger_browser.get(f"/api/v1/runs/{run.id}/{name}").status_code == 404
        assert viewer_browser.get(f"/api/v1/runs/{run.id}/{name}").status_code == 200


def test_environment_output_and_alerts_are_returned(owner_browser, run):
    facts = {"python": "3.12", "git_untracked": 2}
    post(owner_browser, f"/runs/{run.id}/environment", {"facts": facts, "packages": ["a==1"]})
    assert owner_browser.get(f"/api/v1/runs/{run.id}/environment").json() == {
        "facts": facts,
        "packages": ["a==1"],
    }
    post(owner_browser, f"/runs/{run.id}/console", {"first": 0, "lines": ["a", "b"]})
    assert owner_browser.get(f"/api/v1/runs/{run.id}/console?tail=1").json()["lines"] == ["b"]
    post(owner_browser, f"/runs/{run.id}/alerts", {"title": "Careful", "text": "loss", "level": "WARN"})
    assert RunEvent.objects.get(run=run, kind="run.alert").text == "WARN: Careful\nloss"


def test_versions_count_up_by_content_and_an_alias_names_one(owner_browser, stranger_browser, run):
    made = []
    for digest, aliases in (("a", ["best"]), ("a", []), ("b", ["best", "latest"]), ("a", [])):
        body = {"name": "m", "prefix": f"versions/m/{digest}", "digest": digest, "aliases": aliases,
                "files": [{"path": "w.txt", "size_bytes": 1}]}  # fmt: skip
        made.append(post(owner_browser, f"/runs/{run.id}/versions", body).json())
    assert [one["version"] for one in made] == ["v0", "v0", "v1", "v2"]
    assert made[0]["missing"] == ["w.txt"]
    artefacts.save(run, "versions/m/b/w.txt", [b"x"], actor="o")
    for name, expected in (("m", "v2"), ("m:latest", "v2"), ("m:best", "v1"), ("m:v0", "v0")):
        found = owner_browser.get(f"/api/v1/versions/find?project=p&name={name}").json()
        assert found["version"] == expected and (found["missing"] == []) == (expected == "v1")
    for name in ("m:v7", "m:worst", "n", "m:v" + "9" * 30):
        assert owner_browser.get(f"/api/v1/versions/find?name={name}").status_code == 404
    assert stranger_browser.get("/api/v1/versions/find?name=m").status_code == 404
    assert stranger_browser.get("/api/v1/versions").json()["items"] == []


def test_everything_that_a_run_holds_is_returned(owner_browser, run, owner, team):
    child = external_runs.begin(team=team, owner=owner, name="child", origin="api", project="", params={}, parent=run,
                                note="n", tags={"a": "1"})  # fmt: skip
    found = owner_browser.get(f"/api/v1/runs/{child.id}").json()
    assert (found["parent"], found["note"], found["tags"], found["origin"]) == (
        run.id,
        "n",
        {"a": "1"},
        "api",
    )
    assert found["started_at"] and found["ended_at"] is None and found["archived_at"] is None
    rows = owner_browser.get("/api/v1/runs?include=params,tags").json()["items"]
    assert {one["name"]: one["params"] for one in rows} == {"mine": {"lr": "1"}, "child": {}}
    assert "params" not in owner_browser.get("/api/v1/runs").json()["items"][0]
    assert owner_browser.get("/api/v1/runs?include=secrets").status_code == 422


def test_a_parameter_is_replaced_only_on_demand_and_as_an_event(owner_browser, run):
    body = {"params": {"lr": 2, "new": 1}}
    assert post(owner_browser, f"/runs/{run.id}/params", body).status_code == 409
    answer = post(owner_browser, f"/runs/{run.id}/params", body | {"replace": True})
    assert answer.json()["params"] == {"lr": "2", "new": "1"}
    assert RunEvent.objects.get(run=run, kind="run.param").text == "lr: '1' -> '2'"

"""Runs logged by external writers over HTTP."""

from __future__ import annotations

import pytest

from jobs import series
from jobs.ids import new_id
from jobs.models import Project, Run, RunEvent, RunParam

JSON = "application/json"


@pytest.fixture
def made(token_of):
    def make(**asked):
        answer = token_of("owner").post("/api/v1/runs", {"name": "mine", **asked}, content_type=JSON)
        assert answer.status_code == 201, answer.content
        return Run.objects.get(id=answer.json()["id"])

    return make


def post(client, run, what, **asked):
    return client.post(f"/api/v1/runs/{run.id}/{what}", asked, content_type=JSON)


def log(client, run, seq, stream, step, value=1.0):
    one = {"metric": "loss", "values": [value], "steps": [step], "times": [1e9 + step]}
    return post(client, run, "points", stream=stream, batches=[{"seq": seq, "series": [one]}])


def test_a_run_is_made_with_what_was_chosen_for_it(made):
    run = made(
        project="bert",
        params={"lr": 3e-4, "model": {"layers": 8, "bias": None}},
        tags={"baseline": ""},
        origin="x",
    )
    assert (run.project.name, run.state, run.origin) == ("bert", "running", "x")
    params = dict(run.params.values_list("key", "value"))
    assert params == {"lr": "0.0003", "model.layers": "8"}
    assert dict(run.tags.values_list("key", "value")) == {"baseline": ""}
    assert made(project="bert").project == run.project


def test_asking_again_with_the_same_id_gives_the_same_run(made, token_of):
    chosen = new_id()
    run = made(id=chosen)
    again = token_of("mate").post("/api/v1/runs", {"id": chosen, "name": "other"}, content_type=JSON)
    assert (again.status_code, again.json()["name"]) == (200, "mine")
    assert list(Run.objects.all()) == [run]


@pytest.mark.parametrize("chosen", ["exp1-seed3", "seed00000001"])
def test_two_teams_use_the_same_id_without_meeting(chosen, made, token_of):
    run = made(id=chosen)
    stranger = token_of("stranger")
    answer = stranger.post("/api/v1/runs", {"id": chosen}, content_type=JSON)
    assert answer.status_code == 201
    theirs = Run.objects.get(id=answer.json()["id"])
    assert theirs != run and theirs.team != run.team and theirs.external_id == chosen
    assert run.name not in answer.content.decode()
    for client, own in ((stranger, theirs), (token_of("mate"), run)):
        assert client.get(f"/api/v1/runs/{chosen}").json()["id"] == own.id
        assert client.post("/api/v1/runs", {"id": chosen}, content_type=JSON).status_code == 200
    assert Run.objects.count() == 2


@pytest.mark.parametrize("chosen", ["../../../etc", "..", "a b", "a" * 65])
def test_an_id_that_is_none_is_refused(chosen, token_of):
    answer = token_of("owner").post("/api/v1/runs", {"id": chosen}, content_type=JSON)
    assert answer.status_code == 422
    assert chosen[:50] in answer.json()["detail"]


def test_a_viewer_makes_no_runs(token_of):
    assert token_of("viewer").post("/api/v1/runs", {}, content_type=JSON).status_code == 404
    assert not Run.objects.exists()


WRITES = [
    ("writers", {"stream": "a"}),
    ("params", {"params": {"a": 1}}),
    ("tags", {"tags": {"a": 1}}),
    ("heartbeat", {}),
    ("start", {}),
    ("finish", {}),
    ("missing", {"source": "run", "missing": {}}),
]


@pytest.mark.parametrize(("what", "asked"), WRITES)
@pytest.mark.parametrize("name", ["stranger", "viewer"])
def test_who_may_not_write_finds_no_run(what, asked, name, made, token_of):
    run = made()
    assert post(token_of(name), run, what, **asked).status_code == 404
    assert token_of(name).patch(f"/api/v1/runs/{run.id}", {"name": "x"}, content_type=JSON).status_code == 404
    assert RunEvent.objects.filter(run=run).count() == 1


@pytest.mark.parametrize("what", ["writers", "params", "heartbeat", "start", "finish"])
def test_a_jobs_run_is_not_its_callers_to_write(what, job, token_of):
    asked = dict(WRITES)[what]
    assert post(token_of("owner"), job.run, what, **asked).status_code == 409


def test_a_param_keeps_its_first_value_and_refuses_another(made, token_of):
    run = made(params={"lr": 1})
    answer = post(token_of("owner"), run, "params", params={"lr": 2, "new": 1})
    assert answer.status_code == 409
    assert "already '1' and cannot become '2'" in answer.json()["detail"]
    assert RunParam.objects.filter(run=run).count() == 1


def test_tags_name_and_note_change(made, token_of):
    run, client = made(tags={"a": 1, "b": 2}), token_of("owner")
    post(client, run, "tags", tags={"a": "new"}, drop=["b"])
    client.patch(f"/api/v1/runs/{run.id}", {"note": "a good one"}, content_type=JSON)
    run.refresh_from_db()
    assert dict(run.tags.values_list("key", "value")) == {"a": "new"}
    assert (run.name, run.note) == ("mine", "a good one")


def test_a_run_ends_as_its_writer_reports_and_may_start_again(made, token_of):
    run, client = made(), token_of("owner")
    log(client, run, 0, "a", 1)
    assert post(client, run, "finish", state="failed").json()["state"] == "failed"
    assert not run.streams.get().batches.exists()  # folded: the journal holds nothing of it
    assert post(client, run, "start").json()["state"] == "running"
    assert Run.objects.get(id=run.id).ended_at is None


def test_a_state_that_is_none_is_refused(made, token_of):
    assert post(token_of("owner"), made(), "finish", state="crashed").status_code == 422


def test_a_writer_learns_where_it_stands_however_often_it_asks(made, token_of):
    run, client = made(), token_of("owner")
    first = {"attempt": 1, "last_seq": -1, "next_step": 0}
    assert post(client, run, "writers", stream="a").json() == first
    assert post(client, run, "writers", stream="a").json() == first
    for seq in (0, 1, 3):
        log(client, run, seq, "a", seq)
    assert post(client, run, "writers", stream="a").json() == {"attempt": 1, "last_seq": 1, "next_step": 4}


def test_a_resumed_run_replaces_the_steps_that_it_makes_again(made, token_of):
    run, client = made(), token_of("owner")
    post(client, run, "writers", stream="a")
    for step in range(4):
        log(client, run, step, "a", step, 1.0)
    assert post(client, run, "writers", stream="b").json()["attempt"] == 2
    log(client, run, 0, "b", 2, 9.0)
    (line,) = series.read([run.id], ["loss"])
    assert (line.x.tolist(), line.mean.tolist(), line.superseded) == ([0, 1, 2], [1.0, 1.0, 9.0], 2)


def test_ranks_of_one_launch_share_an_attempt(made, token_of):
    run, client = made(), token_of("owner")
    post(client, run, "writers", stream="old")
    assert post(client, run, "writers", stream="l.0", launch="l").json()["attempt"] == 2
    assert post(client, run, "writers", stream="l.1", launch="l").json()["attempt"] == 2
    assert post(client, run, "writers", stream="x", joins=True).json()["attempt"] == 2
    assert post(client, run, "writers", stream="y", launch="other").json()["attempt"] == 3


def test_a_writers_name_that_is_none_is_refused(made, token_of):
    answer = post(token_of("owner"), made(), "writers", stream="a/b")
    assert answer.status_code == 422
    assert "'a/b'" in answer.json()["detail"]


def test_runs_of_a_team_share_its_projects(made):
    made(project="one")
    made(project="one")
    assert Project.objects.get().runs.count() == 2


def test_the_end_of_an_attempt_that_was_overtaken_changes_nothing(made, token_of):
    run, client = made(), token_of("owner")
    post(client, run, "writers", stream="a")
    post(client, run, "writers", stream="b")
    assert post(client, run, "finish", state="failed", stream="a").json()["state"] == "running"
    assert post(client, run, "finish", state="failed", stream="b").json()["state"] == "failed"


def test_readings_that_cannot_be_had_keep_their_reason(made, token_of):
    run, client = made(), token_of("owner")
    missing = {"power_w": ["denied", "only root may read it"]}
    post(client, run, "missing", source="device:0", missing={"gone": ["absent", "by now"]})
    assert post(client, run, "missing", source="device:0", missing=missing).status_code == 200
    assert Run.objects.get(id=run.id).missing == {"device:0": missing}

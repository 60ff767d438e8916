"""Runs, their metrics, series and logs, and pools over HTTP."""

from __future__ import annotations

import math

import pytest

from dashboard.api.run_shapes import RunOut
from engine.directory import AttemptDirectory, Placement
from engine.spec.spec import Spec
from jobs import series
from jobs.attempts import logs
from jobs.models import Attempt, Device, Lease, Node, Run
from jobs.series import Point


@pytest.fixture
def run(job):
    run = job.run
    run.missing = {"device:cpu-0": {"power_w": ["unsupported", "This CPU has no counter."]}}
    run.save()
    points = [
        Point("loss", "run", step, 1000.0 + step, 3.0 if step != 7 else math.nan) for step in range(1, 11)
    ]
    points.append(Point("utilisation_pct", "device:cpu-0", None, 1001.0, 99.0))
    series.append(run.id, 1, "rank0", 0, points)
    return run


def drawn(client, run, query):
    answer = client.get(f"/api/v1/runs/{run.id}/series?{query}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_a_run_describes_itself(run, client_of):
    client = client_of("mate")
    (row,) = client.get("/api/v1/runs").json()["items"]
    one = client.get(f"/api/v1/runs/{run.id}").json()
    assert (row["id"], row["job"], row["state"]) == (run.id, run.job_id, "queued")
    assert row["metrics"] == {"loss": 3.0}
    in_lists = RunOut.model_fields.keys() - {"params", "tags"}
    assert row == {name: one[name] for name in in_lists}
    assert one["missing"] == run.missing
    assert one["spec"]["name"] == "first"


def test_metrics_name_what_there_is_and_why_the_rest_is_not(run, client_of):
    body = client_of("mate").get(f"/api/v1/runs/{run.id}/metrics").json()
    loss, utilisation = body["metrics"]
    assert (loss["metric"], loss["source"], loss["count"], loss["last"]) == ("loss", "run", 10, 3.0)
    assert (loss["label"], loss["last_step"], loss["last_at"]) == ("Training loss", 10, 1010.0)
    assert (utilisation["unit"], utilisation["last_step"]) == ("pct", None)
    assert body["missing"] == run.missing


def test_a_last_value_that_is_not_finite_is_named(run, client_of):
    series.append(run.id, 1, "rank0", 1, [Point("loss", "run", 11, 1011.0, -math.inf)])
    loss = client_of("mate").get(f"/api/v1/runs/{run.id}/metrics").json()["metrics"][0]
    assert (loss["last"], loss["last_kind"]) == (None, "-Infinity")


def test_series_come_column_by_column(run, client_of):
    body = drawn(client_of("mate"), run, "metric=loss")
    assert body["x"] == "step"
    (line,) = body["series"]
    assert (line["run"], line["metric"], line["source"], line["label"]) == (
        run.id,
        "loss",
        "run",
        "Training loss",
    )
    assert line["x"] == list(range(1, 11))
    assert line["mean"] == line["min"] == line["max"] == [3.0] * 6 + [None] + [3.0] * 3
    assert (line["is_raw"], line["count"], line["superseded"]) == (True, 10, 0)
    assert line["non_finite"] == [[7, "NaN"]]
    assert line["borders"] == []
    assert body["missing"] == {}


def test_series_can_be_narrowed(run, client_of):
    client = client_of("mate")
    (line,) = drawn(client, run, "metric=loss&lo=3&hi=5")["series"]
    assert line["x"] == [3, 4, 5]
    (line,) = drawn(client, run, "metric=loss&points=5")["series"]
    assert (line["is_raw"], len(line["x"])) == (False, 5)
    assert drawn(client, run, "metric=loss&source=rank1")["series"] == []
    (line,) = drawn(client, run, "metric=loss&x=time&lo=1009")["series"]
    assert line["x"] == [1009.0, 1010.0]


def test_what_was_asked_for_and_is_not_there_has_its_reason(run, client_of):
    body = drawn(client_of("mate"), run, "metric=power_w&metric=grad_norm&metric=utilisation_pct")
    missing = body["missing"][run.id]
    assert missing["power_w"] == {"device:cpu-0": ["unsupported", "This CPU has no counter."]}
    assert missing["grad_norm"][""][0] == "absent"
    assert "time" in missing["utilisation_pct"][""][1]
    in_time = drawn(client_of("mate"), run, "metric=utilisation_pct&x=time")
    assert in_time["series"][0]["mean"] == [99.0]
    assert in_time["missing"] == {}


def test_series_of_several_runs_are_compared_in_the_order_asked_for(run, cast, client_of):
    other = Run.objects.create(team=run.team, owner=cast["owner"], name="other")
    series.append(other.id, 1, "rank0", 0, [Point("loss", "run", 1, 1.0, 1.0)])
    body = client_of("mate").get(f"/api/v1/series?run={other.id}&run={run.id}&metric=loss").json()
    assert [line["run"] for line in body["series"]] == [other.id, run.id]


def test_one_run_of_another_team_among_several_is_not_found(run, cast, client_of):
    theirs = Run.objects.create(
        team=cast["stranger"].memberships.get().team, owner=cast["stranger"], name="theirs"
    )
    answer = client_of("mate").get(f"/api/v1/series?run={run.id}&run={theirs.id}&metric=loss")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "query",
    ["", "metric=loss&points=0", "metric=loss&points=99999999", "metric=loss&x=colour", "metric=loss&lo=nan"],
)
def test_a_question_that_makes_no_sense_is_refused_with_a_sentence(run, client_of, query):
    answer = client_of("mate").get(f"/api/v1/runs/{run.id}/series?{query}")
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize("metric", ["", "x' OR 1=1 --", "é" * 300])
def test_odd_names_of_metrics_are_simply_not_there(run, client_of, metric):
    assert drawn(client_of("mate"), run, f"metric={metric}")["series"] == []


def test_a_nul_character_in_an_address_is_refused(run, client_of):
    answer = client_of("mate").get(f"/api/v1/runs/{run.id}/series?metric=%00")
    assert (answer.status_code, answer.json()["detail"]) == (400, "The address holds a NUL character.")


@pytest.fixture
def attempt(job, tmp_path):
    directory = AttemptDirectory(tmp_path / "attempt")
    placement = Placement(
        job=job.id, run=job.run.id, attempt=1, node="node-1", world_size=1, master_addr="127.0.0.1",
        master_port=0, seats=(), threads_per_rank=1, lock_dir="", data_dir="", corpus_root="",
    )  # fmt: skip
    directory.create(Spec(), placement, {}, 0.0)
    node = Node.objects.get()
    return Attempt.objects.create(job=job, number=1, node=node, directory=str(directory.path))


def log(client, job, query=""):
    return client.get(f"/api/v1/runs/{job.run.id}/logs?{query}").json()


def test_the_last_lines_of_a_rank(job, attempt, client_of):
    path = AttemptDirectory(attempt.directory).log / "rank1.log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(1000)) + b"\xff odd\n")
    body = log(client_of("mate"), job, "rank=1&tail=3")
    assert body["lines"] == ["line 998", "line 999", "\ufffd odd"]
    assert (body["attempt"], body["rank"], body["is_cut"], body["reason"]) == (1, 1, True, "")


def test_a_huge_log_is_read_at_its_end_only(job, attempt, client_of):
    path = AttemptDirectory(attempt.directory).log / "rank0.log"
    path.write_bytes(b"x" * 5_000_000 + b"\nlast\n")
    body = log(client_of("mate"), job)
    assert body["lines"] == ["last"]
    assert (body["is_cut"], body["size_bytes"]) == (True, 5_000_006)
    path.write_bytes(b"x" * 5_000_000)
    assert len(log(client_of("mate"), job)["lines"][0]) == logs.TAIL_BYTES


def test_a_missing_log_gives_the_reason(job, client_of):
    assert "No attempt" in log(client_of("mate"), job)["reason"]


def test_a_rank_without_a_log_gives_the_reason(job, attempt, client_of):
    assert "not written" in log(client_of("mate"), job, "rank=7")["reason"]
    assert "no attempt 9" in log(client_of("mate"), job, "attempt=9")["reason"]


def test_a_directory_of_another_job_is_not_read(job, attempt, client_of):
    """The same path on this machine may belong to another attempt than the one on its node."""
    Attempt.objects.update(number=2)
    Lease.objects.create(attempt=attempt, device=attempt.node.devices.first(), rank=0)
    (AttemptDirectory(attempt.directory).log / "rank0.log").write_text("secret\n")
    body = log(client_of("mate"), job)
    assert body["lines"] == []
    assert "node-1" in body["reason"]


@pytest.mark.parametrize("rank", ["../../etc/passwd", "-1", "1e3", "0/../0"])
def test_a_rank_is_a_whole_number(job, attempt, client_of, rank):
    answer = client_of("mate").get(f"/api/v1/runs/{job.run.id}/logs", {"rank": rank})
    assert answer.status_code == 422


def test_pools_show_devices_and_holders_to_their_team_only(job, attempt, client_of):
    Device.objects.filter(id="cpu-0").update(latest={"metrics": {"utilisation_pct": 50.0}, "missing": {}})
    Lease.objects.create(attempt=attempt, device_id="cpu-0", rank=0)
    for name, seen in (("mate", job.id), ("stranger", None)):
        (pool,) = client_of(name).get("/api/v1/pools").json()["pools"]
        first, second = pool["nodes"][0]["devices"]
        assert (first["is_held"], first["job"]) == (True, seen)
        assert (second["is_held"], second["job"]) == (False, None)
        assert first["metrics"] == {"utilisation_pct": 50.0}
        assert first["is_stale"]
        assert pool["num_waiting"] == 1


def test_runs_are_filtered_and_ordered_as_on_the_page(run, client_of, job):
    client = client_of("mate")
    for query, number in (("loss < 4", 1), ("loss > 4", 0), ("model.layers >= 1 and owner:owner", 1)):
        body = client.get("/api/v1/runs", {"filter": query, "sort": "-loss"}).json()
        assert (len(body["items"]), body["total"]) == (number, number), query
    whole = client.get("/api/v1/runs", {"sort": "-loss", "limit": 1, "offset": 1}).json()
    assert (whole["items"], whole["total"], whole["next_offset"]) == ([], 1, None)


def test_a_filter_that_is_none_is_refused_with_its_place(run, client_of):
    answer = client_of("mate").get("/api/v1/runs", {"filter": "los < 4"})
    assert answer.status_code == 422
    assert answer.json()["detail"] == (
        "filter, character 1: No run has a metric or parameter 'los'. The nearest is loss."
    )
    refused = client_of("mate").get("/api/v1/runs", {"sort": "no such"})
    assert (refused.status_code, refused.json()["problems"][0]["field"]) == (422, "sort")


def test_a_stranger_filters_among_nothing(run, client_of):
    assert client_of("stranger").get("/api/v1/runs", {"filter": "loss < 4"}).json()["items"] == []


def test_values_that_are_no_numbers_are_texts(run, client_of):
    series.append(
        run.id,
        1,
        "rank0",
        1,
        [Point("loss", "run", 20, 2000.0, math.inf), Point("grad_norm", "run", 20, 2000.0, math.nan)],
    )
    (row,) = client_of("mate").get("/api/v1/runs").json()["items"]
    assert row["metrics"] == {"loss": "Infinity", "grad_norm": "NaN"}

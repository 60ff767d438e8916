"""Points over HTTP: exact, each batch once, or refused with a sentence."""

from __future__ import annotations

import base64
import gzip
import math
import struct

import msgspec
import numpy as np
import pytest
import zstandard
from django.test import Client

from engine.request_limits import POINTS_BODY_BYTES
from jobs import series
from jobs.models import Run, RunMetric, Stream

ODD = [1.5, math.nan, math.inf, -math.inf, 5e-324, -0.0, 0.1 + 0.2]


@pytest.fixture
def run(token_of):
    made = token_of("owner").post("/api/v1/runs", {"name": "mine"}, content_type="application/json")
    return Run.objects.get(id=made.json()["id"])


def batch(seq=0, values=(1.0, 2.0), metric="loss", first=0, **more):
    steps = list(range(first, first + len(values)))
    one = {"metric": metric, "values": list(values), **more}
    return {"seq": seq, "steps": steps, "times": [1e9 + step for step in steps], "series": [one]}


def send(client, run, *batches, stream="w", **options):
    body = msgspec.json.encode({"stream": stream, "batches": batches})
    return client.post(f"/api/v1/runs/{run.id}/points", body, content_type="application/json", **options)


def raw(run, metric="loss"):
    """Every point of the run: steps and the very bits of the values."""
    (line,) = series.read([run.id], [metric], points=10_000)
    assert line.is_raw
    return line.x.tolist(), line.mean.tolist()


def test_points_are_there_when_the_answer_comes(run, token_of):
    answer = send(token_of("owner"), run, batch())
    assert (answer.status_code, answer.json()) == (200, {"stream": "w", "taken": [0]})
    assert raw(run) == ([0, 1], [1.0, 2.0])
    assert RunMetric.objects.get(run=run).last == 2.0


def test_a_team_mate_may_log_and_so_may_a_session_with_its_csrf_token(run, token_of, client_of):
    assert send(token_of("mate"), run, batch()).status_code == 200
    browser = client_of("owner", enforce_csrf_checks=True)
    refused = send(browser, run, batch(1))
    assert refused.status_code == 403
    assert "X-CSRFToken" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["stranger", "viewer"])
def test_who_may_not_write_finds_no_run(name, run, token_of, client_of):
    for client in (token_of(name), client_of(name)):
        answer = send(client, run, batch())
        assert answer.status_code == 404
        assert run.name not in answer.content.decode()
    assert not Stream.objects.exists()


def test_an_unknown_token_is_refused_with_the_reason(run):
    client = Client(headers={"Authorization": "Bearer fw_nothing"})
    assert send(client, run, batch()).status_code == 401
    assert "Log in" in send(Client(), run, batch()).json()["detail"]


def test_a_batch_that_comes_twice_or_late_changes_nothing(run, token_of):
    client = token_of("owner")
    for seq in (2, 0, 2, 1, 0, 1):
        assert send(client, run, batch(seq, [seq, seq + 0.5], first=2 * seq)).status_code == 200
    assert raw(run) == ([0, 1, 2, 3, 4, 5], [0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    assert RunMetric.objects.get(run=run).count == 6


def test_batches_of_one_delivery_are_all_taken_or_none(run, token_of):
    bad = batch(1) | {"times": [1e9]}
    answer = send(token_of("owner"), run, batch(0), bad)
    assert answer.status_code == 422
    assert "batches[1].series[0]: 2 values, 1 times and 2 steps" in answer.json()["detail"]
    assert not Stream.objects.exists()


def in_json(values):
    body = [series.non_finite_name(value) if not math.isfinite(value) else value for value in values]
    return msgspec.json.encode({"stream": "w", "batches": [batch(values=body)]}), "application/json"


def in_json_packed(values):
    column = base64.b64encode(struct.pack(f"<{len(values)}d", *values)).decode()
    one = batch(values=values)
    one["series"][0]["values"] = column
    return msgspec.json.encode({"stream": "w", "batches": [one]}), "application/json"


def in_msgpack(values):
    return msgspec.msgpack.encode({"stream": "w", "batches": [batch(values=values)]}), "application/msgpack"


def in_msgpack_packed(values):
    one = {
        "metric": "loss",
        "values": np.array(values).tobytes(),
        "steps": np.arange(len(values)).tobytes(),
        "times": (np.arange(len(values)) + 10**15).tobytes(),
    }
    return msgspec.msgpack.encode(
        {"stream": "w", "batches": [{"seq": 0, "series": [one]}]}
    ), "application/x-msgpack"


@pytest.mark.parametrize("encoded", [in_json, in_json_packed, in_msgpack, in_msgpack_packed])
@pytest.mark.parametrize("folded", ["identity", "gzip", "zstd"])
def test_every_value_comes_back_bit_for_bit(encoded, folded, run, token_of):
    body, kind = encoded(ODD)
    fold = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}[folded]
    answer = token_of("owner").post(
        f"/api/v1/runs/{run.id}/points", fold(body), content_type=kind, headers={"Content-Encoding": folded}
    )
    assert answer.status_code == 200, answer.content
    (columns,) = series.snapshot.read_snapshot([run.id], ["loss"]).tails.values()
    assert columns[1].values.tobytes() == np.array(ODD).tobytes()


def test_a_series_may_have_no_steps_and_another_source(run, token_of):
    points = {"metric": "cpu_pct", "source": "host:box-1", "values": [7.0], "steps": None, "times": [1e9]}
    assert send(token_of("owner"), run, {"seq": 0, "series": [points]}).status_code == 200
    (name,) = series.names(run.id)
    assert (name.source, name.last_step, name.last_value) == ("host:box-1", None, 7.0)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (batch(-1), "`$.batches[0].seq`"),
        (batch(values=["many", 1]), "Expected `float`, got `str` - at `$.batches[0].series[0].values[0]`"),
        (batch(source="gpu"), "a source is run, rank<N>, device:<id> or host:<name>"),
        (batch(metric=""), "`$.batches[0].series[0].metric`"),
        (batch(metric="a\0b"), "no NUL character"),
        (batch() | {"times": [1e9, 1e18]}, "a number of seconds since 1970"),
        (batch() | {"times": [1e9, -5.0]}, "in the years 1970 to 9999"),
        (batch() | {"steps": [1, 2**63]}, "64"),
        (batch() | {"steps": "AAAA"}, "3 bytes are not a column of 8-byte numbers"),
        (batch() | {"colour": 1}, "colour"),
        ({"seq": 0, "series": [{"metric": "loss", "values": [1.0]}]}, "send unix seconds"),
    ],
)
def test_what_no_series_can_hold_is_refused_at_its_place(wrong, expected, run, token_of):
    answer = send(token_of("owner"), run, wrong)
    assert answer.status_code == 422
    assert expected in answer.json()["detail"]


@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (415, {"Content-Encoding": "br"}, b"{}"),
        (422, {"Content-Encoding": "gzip"}, b"{}"),
        (422, {"Content-Encoding": "gzip"}, gzip.compress(b"{}" * 1000, mtime=0)[:-20]),
        (422, {"Content-Encoding": "zstd"}, b"{}"),
        (413, {"Content-Encoding": "gzip"}, gzip.compress(b" " * (POINTS_BODY_BYTES + 1), mtime=0)),
        (413, {"Content-Encoding": "zstd"}, zstandard.compress(b" " * (POINTS_BODY_BYTES + 1))),
        (413, {}, b" " * (POINTS_BODY_BYTES + 1)),
        (422, {}, b"{"),
        (422, {}, b""),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(status, headers, body, run, token_of):
    answer = token_of("owner").post(
        f"/api/v1/runs/{run.id}/points", body, content_type="application/json", headers=headers
    )
    assert answer.status_code == status
    assert answer.json()["detail"].endswith(".")


def test_another_kind_of_content_is_refused(run, token_of):
    answer = token_of("owner").post(f"/api/v1/runs/{run.id}/points", b"a,b", content_type="text/csv")
    assert answer.status_code == 415
    assert "text/csv" in answer.json()["detail"]


def test_a_jobs_run_is_its_ranks_to_write(job, token_of):
    answer = send(token_of("owner"), job.run, batch())
    assert answer.status_code == 409
    assert f"{job.run.id} as its parent" in answer.json()["detail"]


def test_points_are_described_in_the_openapi_document(client_of):
    schema = client_of("owner").get("/api/v1/openapi.json").json()
    operation = schema["paths"]["/api/v1/runs/{run_id}/points"]["post"]
    assert set(operation["responses"]) == {"200", "401", "404", "409", "413", "415", "422", "429", "503"}
    body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    assert schema["components"]["schemas"][body.rpartition("/")[2]]["required"] == ["stream", "batches"]


def test_a_delivery_costs_the_same_queries_however_many_points(run, token_of, django_assert_max_num_queries):
    client = token_of("owner")
    send(client, run, batch(0))
    for seq, count in ((1, 2), (2, 500)):
        with django_assert_max_num_queries(14):
            send(client, run, batch(seq, [1.0] * count))

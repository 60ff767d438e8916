"""One run's points as a file, over HTTP."""

from __future__ import annotations

import csv
import io
import json

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient

from jobs import series
from jobs.series import Point


@pytest.fixture
def run(job):
    series.append(
        job.run.id, 1, "rank0", 0, [Point("loss", "run", step, 1000.0 + step, 1 / step) for step in (1, 2, 3)]
    )
    return job.run


def rows_of(content):
    return list(csv.DictReader(io.StringIO(content.decode())))


def test_a_run_is_saved_with_every_point(run, client_of):
    answer = client_of("mate").get(f"/api/v1/runs/{run.id}/export")
    assert answer["Content-Disposition"] == f'attachment; filename="{run.id}-points.csv"'
    rows = rows_of(b"".join(answer.streaming_content))
    assert [(row["metric"], row["step"], float(row["value"])) for row in rows] == [
        ("loss", "1", 1.0), ("loss", "2", 0.5), ("loss", "3", 1 / 3),
    ]  # fmt: skip


def test_an_asynchronous_server_streams_the_same(run, cast):
    async def saved():
        client = AsyncClient()
        await client.aforce_login(cast["mate"])
        answer = await client.get(f"/api/v1/runs/{run.id}/export?format=jsonl")
        return b"".join([piece async for piece in answer.streaming_content])

    rows = [json.loads(line) for line in async_to_sync(saved)().splitlines()]
    assert [(row["step"], row["value"]) for row in rows] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_an_unknown_format_is_refused_by_its_field(run, client_of):
    answer = client_of("mate").get(f"/api/v1/runs/{run.id}/export?format=xlsx")
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["field"] == "format"

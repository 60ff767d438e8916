"""Hostile requests to every part: refused in the form of that part, within a second of CPU and 100 MiB, never by 500.

FOURWALLS_FUZZ_INPUTS sets how many are sent, FOURWALLS_FUZZ_SEED from which seed on: each request is a function of its
own seed, so that a failure is one number to repeat.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from dashboard.api import fast_path, fast_series
from engine.spec.spec import Spec
from jobs.models import Pool, Report, SavedView
from jobs.people import sharing
from jobs.people.api_tokens import create_token
from jobs.tracking import external_runs
from tests.fuzz.requests import PARTS, World, read_operations

INPUTS = int(os.environ.get("FOURWALLS_FUZZ_INPUTS") or 450)
FIRST_SEED = int(os.environ.get("FOURWALLS_FUZZ_SEED") or 20261130)
CPU_S, MEMORY_BYTES = 1.0, 100 * 1024**2
SENTENCE = re.compile(r"<h1>.*?</h1>\s*<p>(.{10,}?)</p>", re.DOTALL)


# A real transaction, since the fast paths have connections of their own.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def world(owner, team, node, owner_browser, make_job) -> Iterator[World]:
    token = f"Bearer {create_token(owner, team, 'test')}"
    bearer = Client(headers={"Authorization": token})
    for client in (owner_browser, bearer):
        client.raise_request_exception = False
    run = external_runs.create(team=team, owner=owner, name="logged", origin="test")
    job = make_job()
    report = sharing.create_report(team=team, owner=owner, title="t", text="x")
    view = SavedView.objects.create(team=team, owner=owner, name="v", page="compare", query="run=x")
    rows = [{"metric": f"m{n}", "values": [1.0], "steps": [0], "times": [1e9]} for n in range(300)]
    bearer.post(
        f"/api/v1/runs/{run.id}/points",
        {"stream": "w0", "batches": [{"seq": 0, "series": rows}]},
        "application/json",
    )
    pool = Pool.objects.get(name="default")
    owner_browser.get(
        "/advice/"
    )  # its plan search takes 1.2 s of CPU once for each spec and device, then it is cached
    ids = {
        "run_id": run.id, "job_id": job.id, "report_id": report.id, "view_id": view.id, "name": pool.name,
        "node_id": node.id, "device_id": node.devices.first().id, "slug": team.slug, "team": team.slug, "verb": "drain",
        "act": "archive", "form": "full", "step": "1", "run": job.run.id, "comment_id": "1", "token_id": "1",
    }  # fmt: skip
    yield World(owner_browser, bearer, token, ids, read_operations(owner_browser))
    for thread in (fast_path._thread, *[fast_series._threads] * 2):
        thread.submit(lambda: connection.close()).result()


@pytest.fixture
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def form_error(part: str, reply: Any) -> str:
    """Why a refusal isn't in the form of its part; '' if it is."""
    if reply.status_code < 400:
        return ""
    path, kind = reply.wsgi_request.path, reply.get("Content-Type", "")
    if path.startswith(("/api/2.0/mlflow", "/api/3.0/mlflow")):
        fits = (
            "json" in kind
            and set(reply.json()) == {"error_code", "message"}
            and len(reply.json()["message"]) > 5
        )
    elif path.startswith("/api/"):
        fits = (
            "json" in kind and set(reply.json()) == {"detail", "problems"} and len(reply.json()["detail"]) > 5
        )
    elif "json" in kind:
        fits = any(name in reply.json() for name in ("problems", "problem", "message"))
    else:  # a page of the error, the form itself with the mistake, or a toast
        fits = (
            bool(SENTENCE.search(reply.text))
            or reply.status_code in (409, 422)
            or "HX-Trigger" in reply.headers
        )
        fits = fits or "form" in reply.text
    return "" if fits else f"{reply.status_code} {kind}: {reply.content[:200]!r}"


def peak_growth(before: int) -> int:
    return _memory("VmHWM") - before


def _memory(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


def send(world: World, seed: int) -> tuple[str, list[str], float, int]:
    """The part, what is wrong, CPU seconds and bytes of one request."""
    drawn = random.Random(seed)
    part = list(PARTS)[seed % len(PARTS)]
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts at the present size
    resident, began = _memory("VmRSS"), time.process_time()
    reply = PARTS[part](world, drawn)
    body_bytes = 0
    if reply.streaming:
        with contextlib.suppress(TypeError):
            body_bytes = sum(len(chunk) for chunk in reply.streaming_content)
    cpu_s, grown = time.process_time() - began, peak_growth(resident)
    wrong = []
    if reply.status_code >= 500:
        wrong.append(f"status {reply.status_code}: {reply.exc_info and reply.exc_info[1]!r}")
    elif not reply.streaming and (form := form_error(part, reply)):
        wrong.append(f"form: {form}")
    if cpu_s > CPU_S:
        wrong.append(f"{cpu_s:.2f} s of CPU")
    if grown > MEMORY_BYTES or body_bytes > MEMORY_BYTES:
        wrong.append(f"{grown / 1024**2:.0f} MiB")
    if wrong:
        wrong.append(f"{reply.wsgi_request.method} {reply.wsgi_request.get_full_path()[:300]}")
    return part, wrong, cpu_s, grown


@pytest.mark.timeout(3_600)
def test_every_part_bears_hostile_requests(world, quiet):
    faults, slowest, largest = [], (0.0, 0), (0, 0)
    sent: dict[str, int] = dict.fromkeys(PARTS, 0)
    for seed in range(FIRST_SEED, FIRST_SEED + INPUTS):
        part, wrong, cpu_s, grown = send(world, seed)
        sent[part] += 1
        slowest, largest = max(slowest, (cpu_s, seed)), max(largest, (grown, seed))
        if wrong:
            faults.append(f"seed {seed}, {part}: {'; '.join(wrong)}")
        if seed % 200 == 0:
            gc.collect()
    most = f"slowest {slowest[0]:.2f} s (seed {slowest[1]}); most {largest[0] / 1024**2:.0f} MiB"
    figures = f"{INPUTS} inputs {sent}; {most}"
    print(figures)  # noqa: T201  (with -s, for the record)
    assert not faults, f"{len(faults)} of {figures}\n" + "\n".join(faults[:40])


def test_the_parts_take_good_requests_too(world):
    """Guards against a fuzz that is refused at the first look: each part accepts some of its requests."""
    taken = dict.fromkeys(PARTS, 0)
    for seed in range(FIRST_SEED, FIRST_SEED + 400 * len(PARTS)):
        part = list(PARTS)[seed % len(PARTS)]
        if not taken[part]:
            taken[part] = PARTS[part](world, random.Random(seed)).status_code < 400
    assert all(taken.values()), taken
    assert Report.objects.exists() and Spec()

"""Loss curve of a real training that is preempted or paused, and resumed.

It equals the curve of an undisturbed run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.running import TINY, Fourwalls, changes, free_port, wait_until

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(300)]

STEPS = 600  # some seconds, enough to submit another job on a busy machine
SPEC = [
    *TINY,
    f"budget.steps={STEPS}",
    "budget.checkpoint_every=0",
    "budget.validate_every=0",
    "model.dropout=0.1",
]

LOSSES = """
import json
from jobs import series
(line,) = series.read([{run!r}], ["loss"], points=100_000)
print(json.dumps([list(map(int, line.x)), list(line.mean), line.superseded, line.is_raw]))
"""
EVENTS = """
import json
from jobs.models import Event
print(json.dumps(list(Event.objects.filter(job={job!r}).exclude(kind__startswith="note").order_by("id")
                      .values_list("kind", "actor", "text"))))
"""


@pytest.fixture(scope="module")
def fourwalls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fourwalls]:
    environment = {"FOURWALLS_PREEMPT_AFTER_S": "0"}
    running = Fourwalls(tmp_path_factory.mktemp("preempt"), free_port(), environment).start("--no-demo")
    try:
        running.wait_for_link()
        running.request("/jobs")  # creates the token before a job trains
        yield running
        running.interrupt()
    finally:
        running.kill()


def submit(running: Fourwalls, *more: str) -> dict:
    done = running.manage("submit", "demo", *changes([*SPEC, *more]), "--fit", "--json")
    return json.loads(done.stdout.splitlines()[0])


def now(running: Fourwalls, job: dict) -> dict:
    return running.request(f"/jobs/{job['job']}")


def ended(running: Fourwalls, job: dict) -> dict:
    wait_until(lambda: now(running, job)["state"] in ("succeeded", "failed"), 120, "the end")
    rows = map(json.loads, running.manage("runs", "--json").stdout.splitlines())
    return next(row for row in rows if row["job"] == job["job"])


def asked(running: Fourwalls, code: str) -> list:
    return json.loads(running.manage("shell", "-v0", "-c", code).stdout.splitlines()[-1])


def test_preempted_and_resumed_equals_undisturbed(fourwalls: Fourwalls):
    low = submit(fourwalls, "priority=low")
    wait_until(lambda: now(fourwalls, low)["step"] > 10, description="10 steps")
    cloned = fourwalls.request(f"/jobs?clone={low['run']}", {"priority": "high"})
    high = {"job": cloned["id"], "run": cloned["run"]}
    last_high, last_low = ended(fourwalls, high), ended(fourwalls, low)
    assert (last_high["state"], last_high["attempt"]) == ("succeeded", 1), last_high
    assert (last_low["state"], last_low["attempt"]) == ("succeeded", 2), last_low
    resumed_from = last_low["resumed_from_step"]
    assert resumed_from and 10 < resumed_from < STEPS

    disturbed, undisturbed = (asked(fourwalls, LOSSES.format(run=job["run"])) for job in (low, high))
    assert disturbed == undisturbed, "the same seed on the same devices gives the same curve"
    assert disturbed[0] == list(range(1, STEPS + 1)) and disturbed[2] == 0

    events = asked(fourwalls, EVENTS.format(job=low["job"]))
    reason = f"Preempted by job {high['job']} (priority high)"
    kinds = [kind for kind, _, _ in events]
    stopping = kinds.index("job.stopping")
    assert events[stopping][1:] == [
        "scheduler",
        f"{reason}; it stops at a checkpoint and returns to the queue.",
    ]
    back = kinds.index("job.queued", stopping)
    assert events[back][2] == f"{reason}; resumes from step {resumed_from}."
    assert kinds[-1] == "job.succeeded" and kinds.count("job.scheduled") == 2


def test_paused_and_resumed_equals_undisturbed(fourwalls: Fourwalls):
    job = submit(fourwalls, "priority=low")
    wait_until(lambda: now(fourwalls, job)["step"] > 10, description="10 steps")
    fourwalls.request(f"/jobs/{job['job']}/pause", {})
    wait_until(lambda: now(fourwalls, job)["state"] == "paused", description="the pause")
    paused = now(fourwalls, job)
    undisturbed = submit(fourwalls)
    assert ended(fourwalls, undisturbed)["state"] == "succeeded"
    assert now(fourwalls, job)["state"] == "paused", "free devices do not resume a paused job"
    fourwalls.request(f"/jobs/{job['job']}/resume", {})
    last = ended(fourwalls, job)
    assert (last["state"], last["attempt"], last["resumed_from_step"]) == ("succeeded", 2, paused["step"])
    curves = [asked(fourwalls, LOSSES.format(run=one["run"])) for one in (job, undisturbed)]
    assert curves[0] == curves[1]
    assert curves[0][0] == list(range(1, STEPS + 1)) and curves[0][2] == 0

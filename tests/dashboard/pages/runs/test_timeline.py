"""Timeline of one step on the run page, and requested traces."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from dashboard.pages.runs import timeline
from jobs.models import StepTimeline, Trace, TraceChunk, TraceFile
from jobs.states.jobs import JobState
from tests.dashboard.conftest import set_state
from tests.dashboard.page_text import read_run_page

HTMX = {"HX-Request": "true"}


@pytest.fixture
def job(make_job, node, make_attempt):
    job = set_state(make_job(), JobState.RUNNING, step=12, attempt_number=1, num_devices=2)
    make_attempt(job, node)
    return job


def record(job, step=10, micro_batches=2, stages=2, data=1):
    """A pipeline in which each pass takes 10 ms; half of the rest is waiting."""
    for rank in range(stages * data):
        events = [["forward", micro, 10_000 * micro, 10_000, 0] for micro in range(micro_batches)]
        events += [["receive_gradient", 0, 10_000 * micro_batches, 10_000, 5_000]]
        events += [["optimiser", 0, 10_000 * (micro_batches + 1), 10_000, 0]]
        StepTimeline.objects.create(
            run=job.run, attempt_number=1, step=step, rank=rank, stage=rank // data, data_rank=rank % data,
            began_at=1000.0, step_s=0.01 * (micro_batches + 2), events=events,
        )  # fmt: skip


def part(browser, job, **query):
    answer = browser.get(reverse("run-timeline", args=[job.run.id]), query)
    assert answer.status_code == 200
    return answer.text


def file_of(job, content=b"packed") -> TraceFile:
    trace = Trace.objects.create(
        attempt=job.attempts.get(), number=1, num_steps=3, ranks=[0], actor="ada", asked_at="2026-11-27T10:00Z",
        ended_at="2026-11-27T10:01Z",
    )  # fmt: skip
    file = TraceFile.objects.create(
        trace=trace, rank=0, node=trace.attempt.node, name="rank0-step7-1.json.gz", first_step=7,
        size_bytes=len(content),
    )  # fmt: skip
    TraceChunk.objects.create(file=file, seq=0, content=content)
    return file


def test_the_timeline_has_a_row_per_stage_with_numbered_micro_batches(owner_browser, job):
    record(job)
    text = read_run_page(owner_browser, job.run.id)
    assert text.count('class="timeline-strip"') == 2
    assert "stage 0" in text and "stage 1" in text
    assert '<rect class="mark-forward" x="25.0%" width="25.0%"' in text
    assert '<text x="37.5%" y="54%">1</text>' in text
    assert "forward of micro-batch 1: 10 ms" in text and "waits 5 ms before gradient received" in text


def test_the_bubble_is_shown_beside_its_formula(owner_browser, job):
    record(job)
    text = part(owner_browser, job)
    assert "<b>12.5 %</b> of the step is pipeline bubble" in text
    assert "2 even stages with 2 micro-batches have (p−1)/(m+p−1) = 33.3 %" in " ".join(text.split())


def test_without_a_pipeline_no_bubble_is_shown(owner_browser, job):
    record(job, stages=1, data=2)
    text = part(owner_browser, job)
    assert "bubble" not in text.replace("waits for another stage (bubble)", "")
    assert "data 0" in text and "data 1" in text


def test_another_step_can_be_selected_and_an_unknown_one_shows_the_first(owner_browser, job):
    record(job, step=10)
    record(job, step=40, micro_batches=6)
    assert "step 10 of attempt 1" in part(owner_browser, job)
    assert "step 40 of attempt 1" in part(owner_browser, job, at="1-40")
    for nonsense in ("1-41", "x", "1-", "²-1"):
        assert "step 10 of attempt 1" in part(owner_browser, job, at=nonsense)


def test_a_run_without_a_recorded_step_is_explained(owner_browser, job):
    assert "No step has been recorded yet" in part(owner_browser, job)


def test_ranks_beyond_the_limit_are_counted(owner_browser, job):
    record(job, stages=1, data=40)
    text = part(owner_browser, job)
    assert text.count('class="timeline-strip"') == 32 and "8 more ranks not drawn" in text


def test_only_the_longest_events_are_drawn_beyond_the_limit(owner_browser, job, monkeypatch):
    monkeypatch.setattr(timeline, "EVENTS_SHOWN", 20)
    record(job, micro_batches=30)
    text = part(owner_browser, job)
    assert text.count('<rect class="mark-') - text.count('rx="2"') == 20
    assert "the 46 shortest events not drawn" in text


def test_more_ranks_take_the_same_number_of_queries(owner_browser, job, django_assert_max_num_queries):
    record(job, stages=4, data=4)
    part(owner_browser, job)
    with django_assert_max_num_queries(12):
        part(owner_browser, job)


def request_trace(browser, job, steps="3", rank="0"):
    return browser.post(reverse("run-trace", args=[job.run.id]), {"steps": steps, "rank": rank}, headers=HTMX)


def message_of(answer) -> str:
    return json.loads(answer["HX-Trigger"])["notice"]["text"]


def test_a_team_mate_requests_a_trace_and_the_page_shows_it(browser_of, team_mate, job):
    browser = browser_of(team_mate)
    assert "Trace the next" in part(browser, job)
    answer = request_trace(browser, job, rank="all")
    trace = Trace.objects.get()
    assert (answer.status_code, trace.ranks, trace.num_steps) == (204, [0, 1], 3)
    text = part(browser, job)
    assert f"{team_mate.username} requested" in text and "of 2 ranks" in " ".join(text.split())


@pytest.mark.parametrize(
    ("steps", "rank"), [("0", "0"), ("11", "0"), ("x", "0"), ("3", "7"), ("3", "-1"), ("3", "")]
)
def test_an_impossible_trace_is_refused_with_a_message(owner_browser, job, steps, rank):
    answer = request_trace(owner_browser, job, steps, rank)
    assert answer.status_code == 409 and message_of(answer)
    assert not Trace.objects.exists()


def test_a_job_that_does_not_run_cannot_be_traced(owner_browser, make_job):
    job = make_job()
    assert "Trace the next" not in part(owner_browser, job)
    assert "only a running job can be traced" in message_of(request_trace(owner_browser, job))


@pytest.mark.parametrize("who", ["viewer", "stranger"])
def test_a_user_who_may_not_write_cannot_trace(request, browser_of, job, who):
    assert request_trace(browser_of(request.getfixturevalue(who)), job).status_code == 404
    assert not Trace.objects.exists()


def test_a_viewer_sees_and_downloads_traces(viewer_browser, job):
    file = file_of(job, b"0123")
    text = part(viewer_browser, job)
    assert "steps 7 to 9, rank 0" in " ".join(text.split()) and "Trace the next" not in text
    answer = viewer_browser.get(reverse("run-trace-file", args=[job.run.id, file.id]))
    assert answer.content == b"0123"
    assert answer["Content-Disposition"] == f'attachment; filename="{job.run.id}-rank0-step7-1.json.gz"'


def test_a_stranger_gets_404_for_timeline_and_traces(stranger_browser, job):
    file = file_of(job)
    record(job)
    for name, more in (("run-timeline", []), ("run-trace-file", [file.id])):
        assert stranger_browser.get(reverse(name, args=[job.run.id, *more])).status_code == 404


def test_a_trace_is_found_for_its_own_run_only(owner_browser, job, make_job):
    file = file_of(job)
    other = make_job()
    assert owner_browser.get(reverse("run-trace-file", args=[other.run.id, file.id])).status_code == 404

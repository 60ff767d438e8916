"""Trace requests and uploads, and timelines of steps."""

from __future__ import annotations

import io
import os

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from engine.directory import TRACE_BYTES, AttemptDirectory, TraceRequest
from engine.telemetry.wire import SpoolLine, Timeline, TimelineEvent
from jobs.attempts import timelines, traces
from jobs.attempts.ingest import ingest
from jobs.lifecycle.transitions import move_attempt
from jobs.models import AttemptNode, Event, SpoolOffset, StepTimeline, Trace, TraceFile
from jobs.states.jobs import AttemptState, JobState, StateError
from tests.jobs.fake_supervisor import step_line, write_spool
from tests.jobs.placed_jobs import claim

pytestmark = pytest.mark.django_db


@pytest.fixture
def claimed(make_job, settings):
    """(attempt, directory) of a job that has made its first step."""
    attempt, directory = claim(make_job("budget.steps=100"), settings.NODE_DIR)
    write_spool(directory, step_line(1, 3.0))
    ingest(attempt)
    return attempt, directory


def ask(attempt, num_steps=2, ranks=(0,)) -> Trace:
    return traces.request_trace(attempt.job, num_steps=num_steps, ranks=ranks, actor="ada")


def answer(directory, number: int, name: str, content: bytes = b"packed", rank: int = 0) -> None:
    if name:
        (directory.trace / name).write_bytes(content)
    write_spool(
        directory, SpoolLine("trace", 1009.0, f"rank{rank}", step=7, text=name, number=number, seconds=0.5)
    )


def test_a_request_reaches_the_ranks_and_its_trace_the_run(claimed):
    attempt, directory = claimed
    trace = ask(attempt)
    assert traces.get_open_trace(attempt.job) == trace
    traces.write_requests({attempt.id: directory})
    assert directory.read_trace_request() == TraceRequest(1, 2, (0,))
    content = bytes(range(256)) * 5000  # more than one chunk
    answer(directory, 1, "rank0-step7-1.json.gz", content)
    ingest(attempt)
    assert traces.get_open_trace(attempt.job) is None
    assert (traces.upload(attempt.node), traces.upload(attempt.node)) == (1, 0)
    [file] = traces.list_files(attempt.job)
    assert (file.rank, file.first_step, file.size_bytes) == (0, 7, len(content))
    assert b"".join(traces.read_content(file)) == content and file.chunks.count() > 1
    event = Event.objects.get(kind="trace.asked")
    assert event.actor == "ada" and "2 steps of rank 0" in event.text


def test_a_request_is_written_once_and_costs_one_query(claimed, django_assert_num_queries):
    attempt, directory = claimed
    ask(attempt)
    traces.write_requests({attempt.id: directory})
    before = (directory.trace / "request.json").stat().st_mtime_ns
    with django_assert_num_queries(1):
        traces.write_requests({attempt.id: directory})
    with django_assert_num_queries(0):
        traces.write_requests({})
    assert (directory.trace / "request.json").stat().st_mtime_ns == before


def test_the_next_request_has_the_next_number_and_waits_for_the_open_one(claimed):
    attempt, directory = claimed
    ask(attempt)
    with pytest.raises(StateError, match="in progress"):
        ask(attempt)
    answer(directory, 1, "a.json.gz")
    ingest(attempt)
    assert ask(attempt).number == 2


@pytest.mark.parametrize(
    ("num_steps", "ranks", "reason"),
    [
        (0, (0,), "choose 1 to 10"),
        (11, (0,), "choose 1 to 10"),
        (1, (), "choose at least one"),
        (1, (99,), "choose at least one"),
    ],
)
def test_what_cannot_be_traced_is_refused_with_the_reason(claimed, num_steps, ranks, reason):
    with pytest.raises(StateError, match=reason):
        ask(claimed[0], num_steps, ranks)
    assert not Trace.objects.exists()


def test_only_steps_of_a_running_job_can_be_traced(make_job):
    with pytest.raises(StateError, match=f"is {JobState.QUEUED}"):
        traces.request_trace(make_job(), num_steps=1, ranks=[0], actor="ada")


def test_a_rank_that_could_not_write_its_profile_has_answered_too(claimed):
    attempt, directory = claimed
    ask(attempt)
    answer(directory, 1, "")
    ingest(attempt)
    [file] = traces.list_files(attempt.job)
    assert file.reason and traces.get_open_trace(attempt.job) is None
    assert traces.upload(attempt.node) == 0


def test_a_missing_or_too_large_file_gets_a_reason(claimed):
    attempt, directory = claimed
    for number in (1, 2):
        ask(attempt)
        answer(directory, number, f"{number}.json.gz")
        ingest(attempt)
    (directory.trace / "1.json.gz").unlink()
    os.truncate(directory.trace / "2.json.gz", TRACE_BYTES + 1)
    assert traces.upload(attempt.node) == 0
    large, gone = traces.list_files(attempt.job)
    assert "No such file" in gone.reason and "the limit is" in large.reason


def test_a_file_name_cannot_leave_the_folder(claimed, tmp_path):
    attempt, directory = claimed
    (directory.path / "spec.json").write_bytes(b"secret")
    ask(attempt)
    write_spool(directory, SpoolLine("trace", 1009.0, "rank0", step=7, text="../spec.json", number=1))
    ingest(attempt)
    assert traces.upload(attempt.node) == 0 and "cannot be read" in traces.list_files(attempt.job)[0].reason


def test_a_file_of_another_node_is_read_from_the_folder_of_that_node(claimed, make_node, tmp_path):
    attempt, _ = claimed
    other = AttemptDirectory(tmp_path / "other")
    other.trace.mkdir(parents=True)
    (other.trace / "rank1.json.gz").write_bytes(b"over there")
    node = make_node("far")
    AttemptNode.objects.create(attempt=attempt, node=node, directory=str(other.path))
    trace = ask(attempt)
    traces.write_requests({attempt.id: other})
    assert other.read_trace_request().number == trace.number, (
        "each node's agent writes it into its own folder"
    )
    traces.record_files(
        attempt, node, [SpoolLine("trace", 1.0, "rank1", step=7, text="rank1.json.gz", number=trace.number)]
    )
    assert traces.upload(attempt.node) == 0, "the file is on another node"
    assert traces.upload(node) == 1
    assert b"".join(traces.read_content(traces.list_files(attempt.job)[0])) == b"over there"


def test_an_attempt_that_ends_first_leaves_no_request_open(claimed):
    attempt, _ = claimed
    ask(attempt)
    move_attempt(attempt.id, AttemptState.STOPPED, actor="agent", reason="stopped")
    assert traces.get_open_trace(attempt.job) is None


def test_only_the_newest_files_are_kept(claimed, monkeypatch):
    attempt, directory = claimed
    monkeypatch.setattr(traces, "KEEP_FILES", 2)
    for number in range(1, 6):
        ask(attempt)
        answer(directory, number, f"{number}.json.gz")
        ingest(attempt)
    ask(attempt)
    assert [file.trace.number for file in traces.list_files(attempt.job)] == [5, 4]


FORWARD = TimelineEvent("forward", 0, 10, 2000)


def drawn(rank: int, stage: int, *events: TimelineEvent, step: int = 10) -> SpoolLine:
    return SpoolLine("timeline", 1005.0, f"rank{rank}", step=step, timeline=Timeline(stage, 0, 0.25, events))


def test_a_timeline_is_kept_rank_by_rank(claimed):
    attempt, directory = claimed
    write_spool(
        directory,
        drawn(1, 1, FORWARD),
        drawn(0, 0, FORWARD, TimelineEvent("receive_gradient", 0, 3000, 500, 400)),
    )
    ingest(attempt)
    run = attempt.job.run
    [place] = timelines.list_steps(run)
    assert place == timelines.RecordedStep(attempt.number, 10)
    assert timelines.find_newest(run) == timelines.find_newest(run, attempt.number, 10) == place
    assert timelines.find_newest(run, step=11) is timelines.find_newest(run, attempt.number + 1) is None
    first, second = timelines.list_ranks(run, place)
    assert (first.rank, first.stage, second.stage, first.step_s) == (0, 0, 1, 0.25)
    assert first.events == [["forward", 0, 10, 2000, 0], ["receive_gradient", 0, 3000, 500, 400]]
    write_spool(directory, drawn(0, 0, FORWARD))  # sent again, by a rank that was interrupted
    ingest(attempt)
    assert StepTimeline.objects.count() == 2


@pytest.mark.parametrize(
    "line",
    [
        drawn(0, 0, TimelineEvent("dance", 0, 0, 1)),
        drawn(0, 0, TimelineEvent("forward", 0, -1, 1)),
        drawn(0, 0, *[FORWARD] * 5000),
        SpoolLine("timeline", 1005.0, "rank0", step=3),
        SpoolLine("timeline", 1005.0, "run", step=3, timeline=Timeline(0, 0, 1.0, ())),
        SpoolLine("trace", 1005.0, "rank0", text="a"),
    ],
)
def test_an_invalid_line_is_counted_and_skipped(claimed, line):
    attempt, directory = claimed
    write_spool(directory, line, step_line(2, 2.5))
    ingest(attempt)
    assert SpoolOffset.objects.get().num_bad_lines == 1
    assert not StepTimeline.objects.exists() and not TraceFile.objects.exists()


def manage(*arguments: str) -> str:
    out = io.StringIO()
    call_command("trace", *arguments, stdout=out)
    return out.getvalue()


def test_a_trace_is_asked_for_and_fetched_from_a_shell(claimed, tmp_path):
    attempt, directory = claimed
    job = attempt.job.id
    assert "next 2 steps" in manage(job, "--steps", "2", "--rank", "0", "--user", "ada")
    with pytest.raises(CommandError, match="in progress"):
        manage(job)
    with pytest.raises(CommandError, match="has no trace yet"):
        manage(job, "--fetch", str(tmp_path))
    answer(directory, 1, "rank0-step7-1.json.gz", b"0123")
    ingest(attempt)
    traces.upload(attempt.node)
    assert manage(job, "--fetch", str(tmp_path / "out")).strip().endswith("rank0-step7-1.json.gz")
    assert (tmp_path / "out" / "rank0-step7-1.json.gz").read_bytes() == b"0123"
    with pytest.raises(CommandError, match="Job 'nothing' does not exist"):
        manage("nothing")

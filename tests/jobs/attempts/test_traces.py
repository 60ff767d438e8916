"""A wish for a profile: from a person to the ranks of an attempt, and the files back into the database."""

from __future__ import annotations

import io
import os

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from engine.directory import TRACE_BYTES, AttemptDirectory, TraceRequest
from engine.telemetry.wire import Line, Timeline, TimelineEvent
from jobs.attempts import timelines, traces
from jobs.attempts.ingest import ingest
from jobs.lifecycle.transitions import move_attempt
from jobs.models import AttemptNode, Event, SpoolOffset, StepTimeline, Trace, TraceFile
from jobs.states.jobs import AttemptState, JobState, StateError
from tests.jobs.played import say, step
from tests.jobs.stage import take

pytestmark = pytest.mark.django_db


@pytest.fixture
def taken(make_job, settings):
    """(attempt, directory) of a job that makes its first step."""
    attempt, directory = take(make_job("budget.steps=100"), settings.NODE_DIR)
    say(directory, step(1, 3.0))
    ingest(attempt)
    return attempt, directory


def ask(attempt, num_steps=2, ranks=(0,)) -> Trace:
    return traces.ask(attempt.job, num_steps=num_steps, ranks=ranks, actor="ada")


def answer(directory, number: int, name: str, content: bytes = b"packed", rank: int = 0) -> None:
    if name:
        (directory.trace / name).write_bytes(content)
    say(directory, Line("trace", 1009.0, f"rank{rank}", step=7, text=name, number=number, seconds=0.5))


def test_a_wish_comes_to_the_ranks_and_its_profile_to_the_run(taken):
    attempt, directory = taken
    wish = ask(attempt)
    assert traces.open_of(attempt.job) == wish
    traces.pass_on({attempt.id: directory})
    assert directory.read_trace_request() == TraceRequest(1, 2, (0,))
    content = bytes(range(256)) * 5000  # more than one piece
    answer(directory, 1, "rank0-step7-1.json.gz", content)
    ingest(attempt)
    assert traces.open_of(attempt.job) is None
    assert (traces.bring(attempt.node), traces.bring(attempt.node)) == (1, 0)
    [file] = traces.files_of(attempt.job)
    assert (file.rank, file.first_step, file.size_bytes) == (0, 7, len(content))
    assert b"".join(traces.content_of(file)) == content and file.pieces.count() > 1
    event = Event.objects.get(kind="trace.asked")
    assert event.actor == "ada" and "2 steps of rank 0" in event.text


def test_a_wish_is_written_once_and_costs_one_query(taken, django_assert_num_queries):
    attempt, directory = taken
    ask(attempt)
    traces.pass_on({attempt.id: directory})
    before = (directory.trace / "request.json").stat().st_mtime_ns
    with django_assert_num_queries(1):
        traces.pass_on({attempt.id: directory})
    with django_assert_num_queries(0):
        traces.pass_on({})
    assert (directory.trace / "request.json").stat().st_mtime_ns == before


def test_the_next_wish_has_the_next_number_and_waits_for_the_one_before_it(taken):
    attempt, directory = taken
    ask(attempt)
    with pytest.raises(StateError, match="under way"):
        ask(attempt)
    answer(directory, 1, "a.json.gz")
    ingest(attempt)
    assert ask(attempt).number == 2


@pytest.mark.parametrize(
    ("num_steps", "ranks", "said"),
    [
        (0, (0,), "Between 1 and 10"),
        (11, (0,), "Between 1 and 10"),
        (1, (), "choose some"),
        (1, (99,), "choose some"),
    ],
)
def test_what_cannot_be_traced_is_refused_with_the_reason(taken, num_steps, ranks, said):
    with pytest.raises(StateError, match=said):
        ask(taken[0], num_steps, ranks)
    assert not Trace.objects.exists()


def test_only_steps_of_a_running_job_can_be_traced(make_job):
    with pytest.raises(StateError, match=f"is {JobState.QUEUED}"):
        traces.ask(make_job(), num_steps=1, ranks=[0], actor="ada")


def test_a_rank_that_could_not_write_its_profile_has_answered_too(taken):
    attempt, directory = taken
    ask(attempt)
    answer(directory, 1, "")
    ingest(attempt)
    [file] = traces.files_of(attempt.job)
    assert file.reason and traces.open_of(attempt.job) is None
    assert traces.bring(attempt.node) == 0


def test_a_file_that_is_gone_or_too_large_is_told_as_such(taken):
    attempt, directory = taken
    for number in (1, 2):
        ask(attempt)
        answer(directory, number, f"{number}.json.gz")
        ingest(attempt)
    (directory.trace / "1.json.gz").unlink()
    os.truncate(directory.trace / "2.json.gz", TRACE_BYTES + 1)
    assert traces.bring(attempt.node) == 0
    large, gone = traces.files_of(attempt.job)
    assert "No such file" in gone.reason and "more than are kept" in large.reason


def test_a_name_cannot_lead_out_of_the_folder(taken, tmp_path):
    attempt, directory = taken
    (directory.path / "spec.json").write_bytes(b"secret")
    ask(attempt)
    say(directory, Line("trace", 1009.0, "rank0", step=7, text="../spec.json", number=1))
    ingest(attempt)
    assert traces.bring(attempt.node) == 0 and "could not be read" in traces.files_of(attempt.job)[0].reason


def test_a_file_of_another_node_lies_in_that_nodes_folder(taken, make_node, tmp_path):
    attempt, _ = taken
    other = AttemptDirectory(tmp_path / "other")
    other.trace.mkdir(parents=True)
    (other.trace / "rank1.json.gz").write_bytes(b"over there")
    node = make_node("far")
    AttemptNode.objects.create(attempt=attempt, node=node, directory=str(other.path))
    wish = ask(attempt)
    traces.pass_on({attempt.id: other})
    assert other.read_trace_request().number == wish.number, "each node's agent writes it into its own folder"
    traces.heard(
        attempt, node, [Line("trace", 1.0, "rank1", step=7, text="rank1.json.gz", number=wish.number)]
    )
    assert traces.bring(attempt.node) == 0, "not this node's to bring"
    assert traces.bring(node) == 1
    assert b"".join(traces.content_of(traces.files_of(attempt.job)[0])) == b"over there"


def test_an_attempt_that_ends_first_leaves_no_wish_open(taken):
    attempt, _ = taken
    ask(attempt)
    move_attempt(attempt.id, AttemptState.STOPPED, actor="agent", reason="stopped")
    assert traces.open_of(attempt.job) is None


def test_only_the_newest_files_are_kept(taken, monkeypatch):
    attempt, directory = taken
    monkeypatch.setattr(traces, "KEPT", 2)
    for number in range(1, 6):
        ask(attempt)
        answer(directory, number, f"{number}.json.gz")
        ingest(attempt)
    ask(attempt)
    assert [file.trace.number for file in traces.files_of(attempt.job)] == [5, 4]


FORWARD = TimelineEvent("forward", 0, 10, 2000)


def drawn(rank: int, stage: int, *events: TimelineEvent, step: int = 10) -> Line:
    return Line("timeline", 1005.0, f"rank{rank}", step=step, timeline=Timeline(stage, 0, 0.25, events))


def test_a_timeline_is_kept_rank_by_rank(taken):
    attempt, directory = taken
    say(
        directory,
        drawn(1, 1, FORWARD),
        drawn(0, 0, FORWARD, TimelineEvent("receive_gradient", 0, 3000, 500, 400)),
    )
    ingest(attempt)
    run = attempt.job.run
    [place] = timelines.places(run)
    assert place == timelines.Place(attempt.number, 10)
    first, second = timelines.of(run, place)
    assert (first.rank, first.stage, second.stage, first.step_s) == (0, 0, 1, 0.25)
    assert first.events == [["forward", 0, 10, 2000, 0], ["receive_gradient", 0, 3000, 500, 400]]
    say(directory, drawn(0, 0, FORWARD))  # said twice: by a rank that was cut off in between
    ingest(attempt)
    assert StepTimeline.objects.count() == 2


@pytest.mark.parametrize(
    "line",
    [
        drawn(0, 0, TimelineEvent("dance", 0, 0, 1)),
        drawn(0, 0, TimelineEvent("forward", 0, -1, 1)),
        drawn(0, 0, *[FORWARD] * 5000),
        Line("timeline", 1005.0, "rank0", step=3),
        Line("timeline", 1005.0, "run", step=3, timeline=Timeline(0, 0, 1.0, ())),
        Line("trace", 1005.0, "rank0", text="a"),
    ],
)
def test_a_line_that_is_none_is_counted_and_passed_by(taken, line):
    attempt, directory = taken
    say(directory, line, step(2, 2.5))
    ingest(attempt)
    assert SpoolOffset.objects.get().num_bad_lines == 1
    assert not StepTimeline.objects.exists() and not TraceFile.objects.exists()


def manage(*arguments: str) -> str:
    out = io.StringIO()
    call_command("trace", *arguments, stdout=out)
    return out.getvalue()


def test_a_trace_is_asked_for_and_fetched_from_a_shell(taken, tmp_path):
    attempt, directory = taken
    job = attempt.job.id
    assert "next 2 steps" in manage(job, "--steps", "2", "--rank", "0", "--user", "ada")
    with pytest.raises(CommandError, match="under way"):
        manage(job)
    with pytest.raises(CommandError, match="has no trace yet"):
        manage(job, "--fetch", str(tmp_path))
    answer(directory, 1, "rank0-step7-1.json.gz", b"0123")
    ingest(attempt)
    traces.bring(attempt.node)
    assert manage(job, "--fetch", str(tmp_path / "out")).strip().endswith("rank0-step7-1.json.gz")
    assert (tmp_path / "out" / "rank0-step7-1.json.gz").read_bytes() == b"0123"
    with pytest.raises(CommandError, match="Job 'nothing' does not exist"):
        manage("nothing")

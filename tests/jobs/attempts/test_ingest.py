"""Ingest of spool files: every line once, whatever crashes in between."""

from __future__ import annotations

import math

import pytest
from django.db import DatabaseError, connection

from engine.telemetry.wire import SpoolLine
from jobs import series
from jobs.attempts import ingest as module
from jobs.attempts.ingest import ingest
from jobs.models import Attempt, Event, Job, Run, SpoolOffset
from jobs.states.jobs import JobState
from tests.jobs.fake_supervisor import make_checkpoint, step_line, write_spool
from tests.jobs.placed_jobs import claim, newest_attempt

pytestmark = pytest.mark.django_db


@pytest.fixture
def claimed(make_job, settings):
    """(attempt, directory) of a claimed job whose supervisor has not started."""
    return claim(make_job("budget.steps=100"), settings.NODE_DIR)


def count(attempt: Attempt, metric: str = "loss", source: str = "run") -> int:
    found = {(n.metric, n.source): n.count for n in series.names(attempt.job.run.id)}
    return found.get((metric, source), 0)


def run_of(attempt: Attempt) -> Run:
    return Run.objects.get(job_id=attempt.job_id)


def newest(attempt):
    run = run_of(attempt)
    return series.newest([run.id]).get(run.id, {})


def test_steps_become_points_metrics_and_progress(claimed):
    attempt, directory = claimed
    write_spool(directory, step_line(1, 3.0), step_line(2, 2.5))
    ingest(attempt)
    assert count(attempt) == count(attempt, "tokens") == 2
    assert newest(attempt) == {"loss": 2.5, "tokens": 512.0}
    job = Job.objects.get()
    assert (job.step, job.state) == (2, JobState.RUNNING)
    assert job.started_at.timestamp() == 1001.0


def test_nothing_new_costs_one_query(claimed, django_assert_num_queries):
    attempt, directory = claimed
    write_spool(directory, step_line(1))
    ingest(attempt)
    with django_assert_num_queries(1):
        assert ingest(attempt) == 0


def test_a_torn_last_line_waits_for_its_end(claimed):
    attempt, directory = claimed
    write_spool(directory, step_line(1), b'{"k":"step","at":1002.0,"source":"run","st')
    ingest(attempt)
    assert count(attempt) == 1
    write_spool(directory, b'ep":2,"metrics":{"loss":2.0}}\n')
    ingest(attempt)
    assert count(attempt) == 2
    assert SpoolOffset.objects.get().num_bad_lines == 0


def test_reading_the_same_bytes_again_duplicates_nothing(claimed):
    attempt, directory = claimed
    write_spool(directory, step_line(1), step_line(2))
    ingest(attempt)
    assert ingest(newest_attempt(attempt.job)) == 0
    assert count(attempt) == 2


@pytest.mark.parametrize("fails_at", range(1, 30))
def test_a_crash_between_any_two_writes_loses_and_doubles_nothing(claimed, fails_at):
    """The database fails at the n-th write of the batch; the next reader continues from the committed state."""
    attempt, directory = claimed
    note = SpoolLine("note", 1.0, "rank0", text="hello")
    missing = SpoolLine("device", 1.0, "device:a-0", missing={"power_w": ("absent", "no counter")})
    write_spool(directory, step_line(1), step_line(2), note, make_checkpoint(directory, 2), b"rubbish\n")
    write_spool(directory, missing, file="device.jsonl")
    writes = 0

    def die(execute, sql, params, many, context):
        nonlocal writes
        if sql.startswith(("INSERT", "UPDATE")):
            writes += 1
            if writes == fails_at:
                raise DatabaseError("killed")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(die):
        try:
            ingest(attempt)
        except DatabaseError:
            assert not SpoolOffset.objects.exists()
        else:
            assert writes < fails_at, "the crash was swallowed"
    ingest(newest_attempt(attempt.job))
    assert count(attempt) == 2
    job_events = Event.objects.filter(kind__in=["note.info", "checkpoint", "note.warning", "job.running"])
    assert sorted(job_events.values_list("kind", flat=True)) == [
        "checkpoint", "job.running", "note.info", "note.warning",
    ]  # fmt: skip
    assert Attempt.objects.get().checkpoint_step == 2
    assert run_of(attempt).missing == {"device:a-0": {"power_w": ["absent", "no counter"]}}


def test_the_crash_test_covers_every_write(claimed):
    """The range above must cover all writes of the batch."""
    attempt, directory = claimed
    write_spool(
        directory,
        step_line(1),
        step_line(2),
        SpoolLine("note", 1.0, "rank0", text="hello"),
        make_checkpoint(directory, 2),
        b"rubbish\n",
    )
    write_spool(
        directory,
        SpoolLine("device", 1.0, "device:a-0", missing={"power_w": ("absent", "-")}),
        file="device.jsonl",
    )
    writes = []

    def note_write(execute, sql, params, many, context):
        if sql.startswith(("INSERT", "UPDATE")):
            writes.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note_write):
        ingest(attempt)
    assert 8 <= len(writes) < 29


def test_a_reader_with_a_stale_offset_changes_nothing(claimed, monkeypatch):
    attempt, directory = claimed
    write_spool(directory, step_line(1))
    ingest(attempt)
    write_spool(directory, step_line(2))
    real, calls = module.read_whole_lines, []

    def overtaken(path, start):
        content = real(path, start)
        if not calls:
            calls.append(1)
            ingest(
                newest_attempt(attempt.job)
            )  # another agent ingests the same bytes between the read and the write
        return content

    monkeypatch.setattr(module, "read_whole_lines", overtaken)
    assert ingest(attempt) == 0
    assert count(attempt) == 2


@pytest.mark.parametrize(
    "line",
    [
        b"not json\n",
        b'{"k":"step"}\n',
        b'{"k":"step","at":1.0,"source":"run","v":2,"step":1}\n',
        b'{"k":"step","at":1.0,"source":"run","metrics":{"loss":1.0}}\n',
        b'{"k":"step","at":1.0,"source":"run","step":1,"metrics":{" ":1.0}}\n',
        b'{"k":"step","at":1.0,"source":"run","step":1,"metrics":{"loss":"1.0"}}\n',
        b'{"k":"step","at":1.0,"source":"run","step":1,"metrics":{"loss":"a lot"}}\n',
        b"\xff\xfe\x00\n",
        b'{"k":"step","at":1e300,"source":"run","step":1,"metrics":{"loss":1.0}}\n',
        b'{"k":"step","at":1.0,"source":"run","step":9223372036854775808,"metrics":{"loss":1.0}}\n',
        b'{"k":"checkpoint","at":1.0,"source":"run","step":99999999999}\n',
        b'{"k":"checkpoint","at":1.0,"source":"run","step":-1}\n',
        b'{"k":"step","at":1.0,"source":"somebody","step":1,"metrics":{"loss":1.0}}\n',
        b'{"k":"note","at":1.0,"source":"rank0","text":"a\\u0000b"}\n',
        b'{"k":"note","at":1.0,"source":"rank0","text":"\\ud800"}\n',
        b'{"k":"phase","at":1.0,"source":"rank0","text":"imports","seconds":1e999}\n',
    ],
)
def test_an_unreadable_line_is_counted_and_reported_once(claimed, line):
    attempt, directory = claimed
    write_spool(directory, step_line(1), line, step_line(2), line)
    ingest(attempt)
    write_spool(directory, line, step_line(3))
    ingest(attempt)
    assert count(attempt) == 3
    assert SpoolOffset.objects.get().num_bad_lines == 3
    assert Event.objects.filter(kind="note.warning", text__contains="rank0.jsonl").count() == 1


def test_a_step_that_no_job_can_reach_is_a_point_and_no_progress(claimed):
    attempt, directory = claimed
    lines = (SpoolLine("step", 2.0, "run", step=n, metrics={"loss": 1.0}) for n in (-1, 10**11))
    write_spool(directory, step_line(3), *lines)
    ingest(attempt)
    assert count(attempt) == 3
    assert Job.objects.get().step == 3
    assert not SpoolOffset.objects.get().num_bad_lines


def test_a_metric_of_a_newer_version_is_kept_under_its_name(claimed):
    attempt, directory = claimed
    line = SpoolLine("step", 2.0, "run", step=1, metrics={"loss": 1.0, "unheard_of": 2.0})
    write_spool(directory, line)
    ingest(attempt)
    assert newest(attempt) == {"loss": 1.0, "unheard_of": 2.0}


def test_a_megabyte_without_a_newline_is_skipped(claimed):
    attempt, directory = claimed
    write_spool(directory, b"x" * (module.READ_BYTES + 10), b"\n", step_line(1))
    ingest(attempt)
    ingest(attempt)
    assert count(attempt) == 1


def test_nan_and_infinite_losses_are_stored(claimed):
    attempt, directory = claimed
    write_spool(directory, step_line(1, math.nan), step_line(2, math.inf))
    ingest(attempt)
    assert count(attempt) == 2
    assert newest(attempt)["loss"] == math.inf


def test_device_readings_are_series_of_their_device(claimed):
    attempt, directory = claimed
    line = SpoolLine("device", 5.0, "device:a-0", metrics={"power_w": 80.0})
    write_spool(directory, line, file="device.jsonl")
    ingest(attempt)
    assert count(attempt, "power_w", "device:a-0") == 1
    assert newest(attempt) == {}


def test_phases_checkpoints_and_notes_are_stored_with_the_attempt(claimed):
    attempt, directory = claimed
    write_spool(
        directory,
        SpoolLine("phase", 1.0, "rank0", text="imports", seconds=8.5),
        make_checkpoint(directory, 10),
    )
    write_spool(directory, SpoolLine("note", 2.0, "rank1", text="Careful.", level="warning"))
    ingest(attempt)
    attempt = newest_attempt(attempt.job)
    assert attempt.phases == {"imports": 8.5}
    assert (attempt.checkpoint_step, attempt.checkpoint) == (
        10,
        f"{attempt.directory}/checkpoints/step-00000010",
    )
    events = [
        (e.actor, e.kind, e.attempt_number)
        for e in Event.objects.filter(kind__in=["checkpoint", "note.warning"])
    ]
    assert events == [("run", "checkpoint", 1), ("rank1", "note.warning", 1)]


def test_a_checkpoint_line_cannot_point_outside_the_attempt(claimed):
    attempt, directory = claimed
    write_spool(directory, SpoolLine("checkpoint", 1.0, "run", step=1, text="../../../etc"))
    ingest(attempt)
    assert newest_attempt(attempt.job).checkpoint == f"{attempt.directory}/checkpoints/etc"


def test_a_result_line_repeats_figures_and_adds_no_points(claimed):
    attempt, directory = claimed
    write_spool(
        directory, SpoolLine("result", 9.0, "run", step=9, text="Finished.", metrics={"validation_loss": 1.5})
    )
    ingest(attempt)
    assert newest(attempt) == {}
    assert newest_attempt(attempt.job).reason == "Finished."


def test_lines_of_an_older_attempt_do_not_move_the_job(claimed):
    attempt, directory = claimed
    Job.objects.update(attempt_number=2, step=40)
    write_spool(directory, step_line(7))
    ingest(attempt)
    assert count(attempt) == 1
    assert Job.objects.get().step == 40
    assert Job.objects.get().state == JobState.STARTING


def test_outputs_are_stored_by_example_and_step_and_the_newest_wins(claimed):
    attempt, directory = claimed

    def output_line(step: int, number: int | None, output: str) -> SpoolLine:
        texts = {"prompt": "a", "reference": "b", "output": output, "other": "x"}
        return SpoolLine("output", 9.0, "run", step=step, number=number, texts=texts)

    write_spool(
        directory,
        output_line(2, 0, "early"),
        output_line(4, 0, "late"),
        output_line(4, 1, "c" * 5000),
        output_line(4, 1000, "no example"),
    )
    ingest(attempt)
    write_spool(directory, output_line(2, 0, "again"), output_line(4, None, "of none"))
    ingest(attempt)
    found = list(run_of(attempt).outputs.values_list("number", "step", "output"))
    assert found == [(0, 2, "again"), (0, 4, "late"), (1, 4, "c" * 2000)]

"""A log that hostile requests and broken disks cannot fill."""

from __future__ import annotations

import errno
import io
import logging
import random

import pytest

from dashboard.server import log_limits, processes
from dashboard.server.log_limits import RECORD_CHARS, RECORDS, REPEATS, BoundedHandler
from dashboard.server.processes import rotate

SEED = 20261130


@pytest.fixture
def log(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(log_limits.time, "monotonic", lambda: clock[0])
    stream = io.StringIO()
    handler = BoundedHandler(stream)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    return logger, stream, clock


def test_repeats_are_counted_and_reported_with_the_next_minute(log):
    logger, stream, clock = log
    for number in range(10_000):
        logger.error("Invalid host %s", f"host{number}")
    assert stream.getvalue().count("\n") == REPEATS
    clock[0] += 61
    logger.info("something else")
    assert "9,995 more in the last minute like: Invalid host %s" in stream.getvalue()


def test_different_errors_behind_one_message_are_all_written(log):
    logger, stream, _ = log
    for error in (ValueError, KeyError, OSError) * 100:
        try:
            raise error("x")
        except error:
            logger.exception("A tick failed")
    assert stream.getvalue().count("Traceback") == 3 * REPEATS


def test_any_flood_is_bounded(log):
    logger, stream, clock = log
    drawn = random.Random(SEED)
    for _ in range(20_000):
        clock[0] += 0.001
        logger.warning(f"{drawn.random()} %s", "a" * drawn.choice((1, 100, 50_000)))
    assert stream.getvalue().count("\n") <= RECORDS
    assert len(stream.getvalue()) < RECORDS * (RECORD_CHARS + 100)


def test_a_new_error_is_seen_behind_an_old_flood(log):
    logger, stream, _ = log
    for number in range(5_000):
        logger.error("Invalid HTTP_HOST header: 'evil%d.example'.", number)
        logger.error(f"Invalid HTTP_HOST header: 'evil{number}.example'.")
    logger.error("The database is gone")
    assert stream.getvalue().count("\n") == REPEATS + 1
    assert stream.getvalue().endswith("The database is gone\n")


def test_a_long_record_keeps_its_beginning_and_end(log):
    logger, stream, _ = log
    logger.error("begin %s end", "x" * 1_000_000)
    assert len(stream.getvalue()) < RECORD_CHARS + 100
    assert stream.getvalue().startswith("begin") and stream.getvalue().rstrip().endswith("end")


def test_a_full_disk_costs_no_traceback(log, capsys):
    logger, _, _ = log

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    logger.handlers[0].setStream(Full())
    logger.error("anything")
    assert capsys.readouterr().err == ""


def test_a_long_log_is_rotated_under_the_process_that_writes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "LOG_BYTES", 1_000)
    path = tmp_path / "web.log"
    with path.open("ab", buffering=0) as output:
        for round_number in range(6):
            output.write(b"%d" % round_number + b"a" * 1_500 + b"\n")
            rotate(path)
            assert path.stat().st_size == 0
        output.write(b"short\n")
        rotate(path)
    assert path.read_bytes() == b"short\n"
    kept = sorted(tmp_path.glob("web.log.*"))
    assert [one.name for one in kept] == [f"web.log.{n + 1}" for n in range(processes.LOGS_KEPT)]
    assert kept[0].read_bytes()[:1] == b"5"


def test_a_log_that_does_not_exist_is_left_alone(tmp_path):
    rotate(tmp_path / "none.log")
    assert not list(tmp_path.iterdir())

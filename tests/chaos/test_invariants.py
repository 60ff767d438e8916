"""Failures of the invariants: journals and records with one error each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.invariants import (
    assert_each_ended_once,
    assert_every_success_reached_the_end,
    assert_no_device_was_shared,
)


def line(what: str, t: float, attempt: int = 1, rank: int = 0) -> dict[str, Any]:
    return {"what": what, "t": t, "job": "j", "attempt": attempt, "rank": rank, "pid": 10 * attempt + rank}


def sound_records() -> dict[str, Any]:
    return {
        "jobs": [{"id": "j", "state": "succeeded", "num_devices": 2}],
        "attempts": [{"job_id": "j", "number": 1, "state": "succeeded"}],
        "job_ends": [{"job_id": "j"}],
        "attempt_ends": [{"job_id": "j", "attempt_number": 1}],
        "members": [{"attempt__job_id": "j", "attempt__number": 1, "state": "succeeded"}] * 2,
        "member_ends": [{"job_id": "j", "attempt_number": 1}] * 2,
        "active_leases": 0,
    }


def test_consecutive_attempts_pass():
    lines = [
        line("begin", 1.0),
        line("end", 2.0),
        line("begin", 2.0, attempt=2),
        line("step", 3.0, attempt=2),
    ]
    assert assert_no_device_was_shared({"d": lines}) == 2


def test_a_rank_that_found_its_device_locked_is_detected():
    with pytest.raises(AssertionError, match="in use by two attempts"):
        assert_no_device_was_shared({"d": [line("begin", 1.0), line("overlap", 2.0, attempt=2)]})


def test_overlapping_processes_are_detected():
    lines = [
        line("begin", 1.0),
        line("begin", 2.0, attempt=2),
        line("step", 2.5),
        line("end", 3.0, attempt=2),
    ]
    with pytest.raises(AssertionError, match="before"):
        assert_no_device_was_shared({"d": lines})


def test_correct_records_pass():
    assert_each_ended_once(sound_records(), {"j"})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("jobs", [], "lost"),
        ("jobs", [{"id": "j", "state": "running"}], "did not end well"),
        ("jobs", [{"id": "j", "state": "failed"}], "did not end well"),
        ("job_ends", [{"job_id": "j"}] * 2, "not one end each"),
        ("job_ends", [], "not one end each"),
        ("attempts", [{"job_id": "j", "number": 1, "state": "running"}], "still live"),
        ("attempts", [{"job_id": "j", "number": 1, "state": "failed"}], "without an attempt"),
        ("attempt_ends", [{"job_id": "j", "attempt_number": 1}] * 2, "not one end each"),
        ("active_leases", 1, "active_leases"),
        ("members", [{"attempt__job_id": "j", "attempt__number": 1, "state": "armed"}], "part is still live"),
        ("member_ends", [{"job_id": "j", "attempt_number": 1}] * 3, "not one end for each"),
        ("member_ends", [{"job_id": "j", "attempt_number": 1}], "not one end for each"),
    ],
)
def test_records_with_one_error_fail(name: str, value: Any, sentence: str):
    with pytest.raises(AssertionError, match=sentence):
        assert_each_ended_once({**sound_records(), name: value}, {"j"})


def test_a_success_needs_the_end_of_every_rank_on_its_own_device():
    whole = {"d0": [line("end", 2.0)], "d1": [line("end", 2.0, rank=1)]}
    assert_every_success_reached_the_end(sound_records(), whole)
    for missing in ({"d0": whole["d0"]}, {"d0": [*whole["d0"], *whole["d1"]]}):
        with pytest.raises(AssertionError):
            assert_every_success_reached_the_end(sound_records(), missing)

"""Spool writer of a rank: whole lines, full disks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.rank.measure import recorder
from engine.rank.measure.recorder import Recorder
from engine.telemetry import wire


class Disk:
    """Replaces os.write; accepts `free_bytes` bytes, then raises."""

    def __init__(self) -> None:
        self.free_bytes = 10**9
        self._write = os.write

    def write(self, file: int, content: bytes) -> int:
        if self.free_bytes == 0 and content:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(file, content[: self.free_bytes])
        self.free_bytes -= written
        return written


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(recorder.os, "write", disk.write)
    return disk


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[tuple[Recorder, Path]]:
    writer = Recorder(tmp_path, 3)
    yield writer, tmp_path / "rank3.jsonl"
    writer.close()


def read(path: Path) -> list[wire.SpoolLine]:
    return [wire.decode(line) for line in path.read_bytes().splitlines()]


def test_a_step_is_on_disk_when_the_call_returns(spool: tuple[Recorder, Path]) -> None:
    writer, path = spool
    writer.step(1, {"loss": 2.5}, [(1, {"forward_s": 0.1})], {})
    assert [(line.source, line.step, line.metrics) for line in read(path)] == [
        ("run", 1, {"loss": 2.5}), ("rank3", 1, {"forward_s": 0.1}),
    ]  # fmt: skip


def test_a_rank_that_does_not_report_the_run_writes_only_its_own_line(
    spool: tuple[Recorder, Path],
) -> None:
    writer, path = spool
    writer.step(1, None, [(1, {"forward_s": 0.1})], {})
    assert [line.source for line in read(path)] == ["rank3"]


def test_a_loss_that_is_not_a_number_is_written_as_nan(spool: tuple[Recorder, Path]) -> None:
    writer, path = spool
    writer.step(1, {"loss": float("nan")}, [], {})
    assert read(path)[0].metrics == {"loss": "NaN"}


def test_rank_metrics_and_missing_reasons_may_come_with_a_later_step(
    spool: tuple[Recorder, Path],
) -> None:
    writer, path = spool
    reason = ("unsupported", "no allocator")
    writer.step(1, {"loss": 2.5}, [], {"rank": {"memory_peak_bytes": reason}})
    writer.step(2, {"loss": 2.0}, [(1, {"forward_s": 0.1}), (2, {"forward_s": 0.2})], {})
    own = [line for line in read(path) if line.source == "rank3"]
    assert [(line.step, line.missing) for line in own] == [(1, {"memory_peak_bytes": reason}), (2, {})]


def test_a_second_attempt_appends(spool: tuple[Recorder, Path], tmp_path: Path) -> None:
    spool[0].note("first")
    again = Recorder(tmp_path, 3)
    again.note("second")
    again.close()
    assert [line.text for line in read(spool[1])] == ["first", "second"]


def test_a_full_disk_drops_lines_and_a_later_note_has_their_count(
    spool: tuple[Recorder, Path], disk: Disk
) -> None:
    writer, path = spool
    writer.step(1, {"loss": 1.0}, [(1, {})], {})
    disk.free_bytes = 0
    writer.step(2, {"loss": 1.0}, [(2, {})], {})
    writer.step(3, None, [(3, {})], {})
    assert writer.dropped_lines == 3
    disk.free_bytes = 10**9
    writer.step(4, {"loss": 1.0}, [(4, {})], {})
    lines = read(path)
    assert [line.step for line in lines if line.source == "run"] == [1, 4]
    [note] = [line for line in lines if line.k == "note"]
    assert note.level == "warning"
    assert note.text == "3 lines of rank 3 were dropped: the spool could not be written."
    assert writer.dropped_lines == 0


def test_a_line_truncated_by_a_full_disk_is_finished_before_the_next(
    spool: tuple[Recorder, Path], disk: Disk
) -> None:
    writer, path = spool
    disk.free_bytes = 50
    writer.note("a sentence that is longer than the room there is")
    writer.note("lost")
    disk.free_bytes = 30
    writer.note("lost as well")
    disk.free_bytes = 10**9
    writer.note("back")
    texts = [line.text for line in read(path)]
    assert texts[0] == "a sentence that is longer than the room there is"
    assert texts[-1] == "back"
    assert len(texts) == 3, "between them, the note about what was dropped"

"""Replay of measured folders: errors, sums, tables and driver calls as stored.

Every folder in recorded/ is replayed. A folder of a dry run has the right form and says nothing about a GPU.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gpu.device import CONSTRUCTED, RECORDED, replay_recording
from tests.gpu.results import ABSENT, DRY_RUN, FAILED, MEASURED, compute_error, read_folder, sum_up
from tests.gpu.summary import write_summary

FOLDERS = sorted(path for path in (Path(__file__).parent / "recorded").iterdir() if path.is_dir())

each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)


@each_folder
def test_stored_errors_follow_from_stored_figures(folder: Path) -> None:
    _, parts = read_folder(folder)
    rows = [row for part in parts for row in part.rows]
    assert rows
    for row in rows:
        assert row.error == compute_error(row.predicted, row.measured, row.error_is), row


@each_folder
def test_a_folder_says_whether_it_is_a_dry_run(folder: Path) -> None:
    about, parts = read_folder(folder)
    assert folder.name.startswith("dry-run") == about["is_dry_run"] == (about["kind"] != "cuda")
    standing = DRY_RUN if about["is_dry_run"] else MEASURED
    for part in parts:
        assert part.is_dry_run == about["is_dry_run"]
        assert {row.standing for row in part.rows} <= {standing, ABSENT, FAILED}
        assert all(row.note for row in part.rows if row.standing in (ABSENT, FAILED))


@each_folder
def test_verdicts_are_right_where_an_expected_rule_is_named(folder: Path) -> None:
    _, parts = read_folder(folder)
    rows = [row for part in parts if part.part == "injected" for row in part.rows if row.more]
    for row in rows:
        assert row.more["is_right"] == bool(set(row.more["expected"]) & set(row.more["named"])), row.asked
    assert sum_up(rows)["verdict"]["right"] == sum(row.more["is_right"] for row in rows)


@each_folder
def test_the_summary_is_made_from_the_stored_rows(folder: Path, tmp_path: Path) -> None:
    write_summary(tmp_path, *read_folder(folder))
    for name in ("summary.txt", "summary.md"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()


@each_folder
def test_driver_calls_are_replayed(folder: Path) -> None:
    about, parts = read_folder(folder)
    path = folder / (CONSTRUCTED if about["is_dry_run"] else RECORDED)
    found = replay_recording(path)
    row = next(row for part in parts if part.part == "recording" for row in part.rows)
    assert (found["asked"], found["complete"]) == (row.predicted, row.measured)
    assert found["values"].keys() == row.more["values"].keys()

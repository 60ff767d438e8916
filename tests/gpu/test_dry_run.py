"""Dry run of `python -m tests.gpu`: folder, labels and bounds."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gpu.__main__ import PARTS, TOTAL_S
from tests.gpu.device import CONSTRUCTED
from tests.gpu.injected import CAUSES, spec_of_cause
from tests.gpu.parts import MeasuredCase, Part, run_part
from tests.gpu.rank_bench import RankBench
from tests.gpu.results import ABSENT, DRY_RUN, FAILED, Row, read_folder
from tests.gpu.shapes import SHAPES, spec_of_shape
from tests.running import ROOT


def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.gpu", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)


@pytest.mark.ranks
@pytest.mark.slow
def test_a_dry_run_writes_every_part_and_says_what_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    done = run_command(str(folder), "--dry-run", "--cases", "1", "--minutes", "4")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    about, parts = read_folder(folder)
    assert about["is_dry_run"] and about["took_s"] < 240
    assert [part.part for part in parts] == [part.name for part in PARTS]
    for part in parts:
        assert part.is_dry_run and part.state == "complete" and part.rows, part
        assert {row.standing for row in part.rows} <= {DRY_RUN, ABSENT}
        assert all(row.note for row in part.rows if row.measured is None)
    for name in ("summary.txt", "summary.md"):
        text = (folder / name).read_text()
        assert "DRY RUN" in text and all(f"{part.title} (dry run)" in text for part in parts)
    assert (folder / CONSTRUCTED).exists() and not (folder / "nvml.jsonl").exists()


def test_a_measurement_of_a_machine_without_a_gpu_is_refused(tmp_path: Path) -> None:
    done = run_command(str(tmp_path / "out"))
    if done.returncode == 2:
        assert "--dry-run" in done.stdout and not (tmp_path / "out").exists()


def test_a_folder_with_files_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = run_command(str(tmp_path), "--dry-run")
    assert done.returncode == 2 and "not empty" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_it_measures_what_was_asked_in_ten_minutes() -> None:
    assert len(SHAPES) == 20 and len(CAUSES) == 30
    assert len({cause.name for cause in CAUSES}) == 30
    assert sum(part.budget_s for part in PARTS) < TOTAL_S


@pytest.mark.parametrize("is_dry", [False, True])
def test_every_spec_is_valid_on_its_device(is_dry: bool) -> None:
    from engine.spec.checks import Hardware, refuse_impossible

    specs = [spec_of_shape(changes, is_dry) for changes in SHAPES.values()]
    for spec in specs + [spec_of_cause(cause, is_dry) for cause in CAUSES]:
        refuse_impossible(spec, Hardware("cpu" if is_dry else "cuda", 1))


def bench_of(folder: Path) -> RankBench:
    return RankBench(None, folder, folder, True)  # type: ignore[arg-type]  # these cases use no device


def test_a_part_that_fails_or_hangs_leaves_the_rest(tmp_path: Path) -> None:
    def fail(bench: RankBench) -> list[Row]:
        raise OSError("no such device")

    def hang(bench: RankBench) -> list[Row]:
        time.sleep(30)
        return []

    def answer(bench: RankBench) -> list[Row]:
        return [Row("x", "good", predicted=2.0, measured=1.0)]

    def cases(bench: RankBench) -> list[MeasuredCase]:
        measures = {"bad": fail, "good": answer, "stuck": hang, "late": answer}
        return [MeasuredCase("x", name, measure) for name, measure in measures.items()]

    began = time.monotonic()
    result = run_part(Part("x", "X", 1, cases), bench_of(tmp_path), 0.3, 100, lambda _: None)
    assert time.monotonic() - began < 5
    assert result.state == "out of time"
    assert [row.standing for row in result.rows] == [FAILED, DRY_RUN, ABSENT, ABSENT]
    assert "no such device" in result.rows[0].note and result.rows[1].error == 1.0

    def broken(bench: RankBench) -> list[MeasuredCase]:
        raise ValueError("no cases")

    result = run_part(Part("x", "X", 1, broken), bench_of(tmp_path), 1, 100, lambda _: None)
    assert result.state == "failed" and result.error == "ValueError: no cases"

"""Conditions that `make run` checks before the start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dashboard.server import preflight
from tests.running import ROOT


def test_a_nearly_full_disk_is_refused_with_both_figures(tmp_path: Path):
    with pytest.raises(
        preflight.PreflightError, match=r"nearly full: [\d,]+ MiB are free, [\d,]+ MiB are needed"
    ):
        preflight.check_folder(tmp_path, need_bytes=2**60)


def test_an_old_python_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    with pytest.raises(preflight.PreflightError, match=r"3\.11 or newer; this is 3\.9\.1"):
        preflight.check_python()


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path):
    (tmp_path / "home").write_text("")
    with pytest.raises(preflight.PreflightError, match="Cannot write in"):
        preflight.check_folder(tmp_path / "home", 1)


def test_it_runs_on_the_standard_library_alone(tmp_path: Path):
    """`make` calls it before any package is installed."""
    command = [sys.executable, "-S", "-E", str(ROOT / "dashboard" / "server" / "preflight.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) in ((0, ""), (1, done.stderr)) and "Traceback" not in done.stderr

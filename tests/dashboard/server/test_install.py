"""Output of `make run` while it installs packages; small scripts stand in for pip."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboard.server import install
from tests.running import ROOT

SUCCEEDS = """
print("Collecting torch==2.13.0 (from fourwalls)")
print("  Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (1.2 GB)")
print("Installing collected packages: numpy, torch")
print("Successfully installed numpy-2.4.0 torch-2.13.0")
"""
FAILS = """
for number in range(100):
    print("line", number)
print("ERROR: No matching distribution found for torch")
raise SystemExit(3)
"""

Installer = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def installer(tmp_path: Path) -> Installer:
    """installer(SUCCEEDS, '--pre'): run install.main in a subprocess, with that script as its pip."""

    def run(pip: str, *arguments: str, **where: int) -> subprocess.CompletedProcess[str]:
        (tmp_path / "pip.py").write_text("import sys\nprint('arguments:', sys.argv[1:])\n" + pip)
        code = (
            "import sys; from pathlib import Path; from dashboard.server import install; "
            "sys.exit(install.main(sys.argv[2:], Path(sys.argv[1])))"
        )
        command = [sys.executable, "-c", code, str(tmp_path / "install.log"), *arguments]
        env = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | where
        return subprocess.run(command, cwd=ROOT, env=env, text=True, check=False, **pipes)

    return run


def test_two_lines_are_printed_and_the_rest_is_in_the_log(installer: Installer, tmp_path: Path):
    done = installer(SUCCEEDS, ".[engine]", "--find-links", "wheels")
    first, last = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == ""
    assert first.startswith("Installing pinned packages") and first.endswith("install.log")
    assert last.startswith("Installed 2 packages in ")
    log = (tmp_path / "install.log").read_text()
    assert "'constraints.txt', '.[engine]', '--find-links', 'wheels']" in log
    assert "Downloading torch" in log


def test_a_failure_shows_the_end_of_the_log_and_one_sentence(installer: Installer, tmp_path: Path):
    (tmp_path / "install.log").write_text("of an earlier installation\n")
    done = installer(FAILS)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[1:-1] == [
        *(f"line {number}" for number in range(81, 100)),
        "ERROR: No matching distribution found for torch",
    ]
    assert lines[-1].startswith("Installation failed (pip ended with status 3; log: ")
    assert lines[-1].endswith("install.log). Nothing was started.")
    assert (tmp_path / "install.log").read_text().startswith("of an earlier installation\narguments:")


def test_a_short_failure_shows_nothing_of_an_earlier_installation(installer: Installer, tmp_path: Path):
    (tmp_path / "install.log").write_text("of an earlier installation\n")
    assert "earlier" not in installer("raise SystemExit('no network')").stderr


def test_a_terminal_shows_the_current_step_on_one_line(installer: Installer):
    reader, writer = pty.openpty()
    installer(SUCCEEDS, stdout=writer)
    os.close(writer)
    shown = os.read(reader, 65536).decode()
    os.close(reader)
    assert "s: unpacking 2 packages" in shown
    assert shown.count("\n") == 2


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("Collecting torch==2.13.0 (from fourwalls==0.1.0)", "collecting torch"),
        ("Collecting celery[redis] (from fourwalls)", "collecting celery"),
        (
            "  Downloading https://host/a/ruff-0.14-py3-none-manylinux.whl (13.2 MB)",
            "downloading ruff (13.2 MB)",
        ),
        ("Processing /wheels/numpy-2.4.6-cp311.whl", "processing numpy"),
        ("  Using cached torch-2.13.0-cp311.whl (1.2 GB)", "using cached torch (1.2 GB)"),
        ("Requirement already satisfied: numpy in ./.venv/lib", "requirement already satisfied numpy"),
        ("Building wheel for fourwalls (pyproject.toml): started", "building wheel for fourwalls"),
        ("Installing collected packages: a, b, c", "unpacking 3 packages"),
        ("WARNING: something else", ""),
    ],
)
def test_the_step_is_read_from_pips_log(line: str, step: str):
    assert install.describe_step(line) == step


def test_it_runs_on_the_standard_library_alone():
    code = "import runpy; runpy.run_path('dashboard/server/install.py')"
    subprocess.run([sys.executable, "-S", "-E", "-c", code], cwd=ROOT, check=True)

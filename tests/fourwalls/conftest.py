"""Fixtures: one real server for this folder, and scripts that log to it from their own processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running import ROOT
from tests.serving import Server

Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The running server, started again if a test has killed it."""
    return shared_server if shared_server.process else shared_server.start()


@pytest.fixture
def spools(tmp_path: Path) -> Path:
    return tmp_path / "spools"


@pytest.fixture
def script(server: Server, spools: Path) -> Iterator[Script]:
    """script('''...''', MODE='offline'): a process that has imported fourwalls."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, **environment: str) -> subprocess.Popen[str]:
        outside = {k: v for k, v in os.environ.items() if not k.startswith("FOURWALLS_")}
        own = {
            "URL": server.url,
            "TOKEN": server.token,
            "DIR": str(spools),
            "SYSTEM_S": "0",
            "ENVIRONMENT": "0",
            "CONSOLE": "0",
            **environment,
        }
        variables = {k if "RANK" in k or "WORLD" in k else f"FOURWALLS_{k}": v for k, v in own.items()}
        process = subprocess.Popen(
            [sys.executable, "-c", "import fourwalls, sys, os, time, signal\n" + textwrap.dedent(code)],
            env=outside | variables | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def finished(script: Script) -> Callable[..., str]:
    """Run a script to its end and return what it printed; its exit code is checked."""

    def run(code: str, *, code_expected: int = 0, **environment: str) -> str:
        process = script(code, **environment)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code_expected, err
        return out.strip()

    return run

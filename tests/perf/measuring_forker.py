"""Forker whose ranks measure their memory, or only skip validation (tests.perf.memory_ranks)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from tests.engine.rank.attempts import ROOT, Forker


class MeasuringForker(Forker):
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.perf.memory_ranks"], cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=os.environ | dict(environment),
        )  # fmt: skip
        self._last = None
        assert self._answer(120) == "ready"

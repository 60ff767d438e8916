"""Loss curves of all families x layouts on real ranks: equal to one rank, also after a resume."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import deepspeed
import pytest
import torch

from tests.engine.rank.attempts import Attempt, Forker, write_attempt
from tests.engine.rank.families import (
    FAMILIES,
    LAYOUTS,
    STEPS,
    build_spec,
    difference,
    tolerance,
    write_corpora,
)

pytestmark = [pytest.mark.perf, pytest.mark.timeout(900)]

HALF = STEPS // 2


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matrix")
    write_corpora(folder)
    versions = (
        f"torch {torch.__version__}, deepspeed {deepspeed.__version__}, Python {platform.python_version()}"
    )
    machine = f"{os.cpu_count()} cores at load {os.getloadavg()[0]:.0f}"
    _print(f"\n{time.strftime('%Y-%m-%d')}, {machine}, {versions}, gloo, fp32")
    _print("Largest relative difference to one rank; and resumed half-way, to the same layout undisturbed.")
    _print(f"{'family':11} {'layout':17} {'loss':>8} {'norm':>8} {'resumed':>8}")
    return folder


class FamilyRuns:
    """Attempts of one family."""

    def __init__(self, forker: Forker, folder: Path, family: str) -> None:
        self._forker, self._folder, self._family = forker, folder, family

    def of(self, layout: str, resume_from: Path | None = None) -> Attempt:
        spec = build_spec(self._family, layout, budget={"checkpoint_every": HALF})
        name = f"{self._family}-{layout}-{'resumed' if resume_from else 'whole'}".replace(" ", "_")
        return self._forker.start(
            write_attempt(self._folder / name, spec, self._folder, resume_from)
        ).succeeded()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout_has_the_curve_of_one_rank(family: str, forker: Forker, folder: Path) -> None:
    runs, wrong = FamilyRuns(forker, folder, family), []
    reference = runs.run_layout("1 rank")
    assert list(reference.series("loss")) == list(range(1, STEPS + 1))
    assert reference.series("loss")[STEPS] < reference.series("loss")[1]
    for layout in LAYOUTS:
        whole = reference if layout == "1 rank" else runs.run_layout(layout)
        resumed = runs.run_layout(layout, whole.directory.checkpoints / f"step-{HALF:08d}")
        found = (
            difference(whole, reference, "loss"),
            difference(whole, reference, "grad_norm"),
            difference(resumed, whole, "loss"),
        )
        assert list(resumed.series("loss")) == list(range(HALF + 1, STEPS + 1))
        assert list(whole.series("grad_norm")) == list(range(1, STEPS + 1))
        _print(f"{family:11} {layout:17} {found[0]:8.1e} {found[1]:8.1e} {found[2]:8.1e}")
        limits = (tolerance(family, layout), 1e-4, 1e-6)
        if any(difference > limit for difference, limit in zip(found, limits, strict=True)):
            wrong.append((layout, found))
    assert not wrong


def _print(text: str) -> None:
    sys.stderr.write(f"{text}\n")

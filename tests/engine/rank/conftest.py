"""Fixtures of rank tests: process that forks ranks, folder of prepared data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.spec.spec import Spec
from tests.engine.rank.attempts import Attempt, Forker, write_attempt


@pytest.fixture(scope="session")
def rank_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rank-data")


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    forker = Forker()
    yield forker
    forker.close()


@pytest.fixture
def start(forker: Forker, rank_data_dir: Path, tmp_path: Path) -> Callable[..., Attempt]:
    """start(spec, name="attempt", resume_from=None, start_from=None) starts ranks and returns the attempt."""

    def start_ranks(
        spec: Spec, name: str = "attempt", resume_from: Path | None = None, start_from: Path | None = None
    ) -> Attempt:
        directory = write_attempt(tmp_path / name, spec, rank_data_dir, resume_from, start_from=start_from)
        return forker.start(directory)

    return start_ranks

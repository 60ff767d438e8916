"""A node of two devices and its sampler, which ticks on request."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.telemetry.sampler import DeviceSampler
from tests.engine.telemetry.sampled import Meter, sampler_of


@pytest.fixture
def meter() -> Meter:
    return Meter("cpu-0", "cpu-1")


@pytest.fixture
def node(tmp_path: Path, meter: Meter) -> DeviceSampler:
    return sampler_of(tmp_path, meter)

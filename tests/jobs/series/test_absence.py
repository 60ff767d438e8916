"""Reasons for absent series."""

from __future__ import annotations

import pytest

from jobs.models import Run
from jobs.series.absence import (
    NO_ENERGY,
    NO_STEPS,
    NO_TOKENS,
    NOT_RECORDED,
    PART_OF_ENERGY,
    absent_series,
    first_reported_reason,
    lacks_energy,
    reported_reasons,
)

DENIED = {"device:a": {"energy_j": ["denied", "No access."]}, "rank0": {"rss_bytes": ["absent", "No file."]}}


def test_reported_reasons_are_by_source():
    run = Run(id="r", missing=DENIED)
    assert reported_reasons(run, "energy_j") == {"device:a": ("denied", "No access.")}
    assert reported_reasons(run, "loss") == {}
    assert first_reported_reason(run, ("rss_bytes", "energy_j")) == ("denied", "No access.")
    assert first_reported_reason(run, ("loss",)) is None
    assert lacks_energy(run) and not lacks_energy(Run(missing={}))


@pytest.mark.parametrize(
    ("metric", "x", "reason"),
    [
        ("loss", "step", NOT_RECORDED), ("loss", "time", NOT_RECORDED), ("loss", "tokens", NO_TOKENS),
        ("loss", "energy", NO_ENERGY), ("power_w", "step", NO_STEPS), ("power_w", "tokens", NO_STEPS),
        ("power_w", "time", NOT_RECORDED),
    ],
)  # fmt: skip
def test_an_absent_series_has_a_reason_that_depends_on_the_axis(metric: str, x: str, reason: tuple[str, str]):
    found = absent_series([Run(id="r", missing={})], [metric], [], x)
    assert found == {"r": {metric: {"": reason}}}


def test_a_reported_reason_comes_first_and_partial_energy_has_its_own():
    run = Run(id="r", missing=DENIED)
    assert absent_series([run], ["energy_j"], [], "time") == {
        "r": {"energy_j": {"device:a": ("denied", "No access.")}}
    }
    assert absent_series([run], ["loss"], [], "energy") == {"r": {"loss": {"": PART_OF_ENERGY}}}

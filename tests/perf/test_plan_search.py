"""Time of a search over parallel plans; the target is a second of CPU for thousands."""

from __future__ import annotations

import os
import time

import pytest

from engine.hardware.peaks import PEAKS
from engine.planner import profile_from_peak, search
from engine.spec.presets import preset

pytestmark = pytest.mark.perf


@pytest.mark.parametrize(("model", "devices"), [("124m", 8), ("1.3b", 64), ("7b", 64)])
def test_thousands_of_plans_are_ranked_in_less_than_a_second(model: str, devices: int) -> None:
    profile = next(profile_from_peak(peak) for peak in PEAKS if peak.name == "H100 SXM")
    began = time.perf_counter()
    found = search(preset(model), profile, devices=devices)
    wall_s = time.perf_counter() - began
    print(
        f"\n{model} on {devices} devices: {found.num_tried:,} plans in {found.took_s:.2f} s of CPU, {wall_s:.2f} s, "
        f"{found.num_tried / found.took_s:,.0f} a second; load {os.getloadavg()[0]:.1f}"
    )
    assert found.took_s < 1

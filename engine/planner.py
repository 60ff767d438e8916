"""What a spec will take, before it is submitted: memory, time, energy, money. The one door to engine.planning."""

from __future__ import annotations

from engine.planning.answers import PLANNER_VERSION, Change, Plan, StageMemory, StepTime
from engine.planning.calibration import PHASES, Calibration, Correction
from engine.planning.plans import change, plan
from engine.planning.profile import PROBED_REACH, DeviceProfile, Link, PowerLevels, profile_of
from engine.planning.ranges import Range

__all__ = [
    "PHASES",
    "PLANNER_VERSION",
    "PROBED_REACH",
    "Calibration",
    "Change",
    "Correction",
    "DeviceProfile",
    "Link",
    "Plan",
    "PowerLevels",
    "Range",
    "StageMemory",
    "StepTime",
    "change",
    "plan",
    "profile_of",
]

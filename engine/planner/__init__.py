"""What a spec will take, before it is submitted: memory, time, energy, money. The one door to engine.planning."""

from __future__ import annotations

from engine.planner.calibration import PHASES, Calibration, Correction
from engine.planner.plan import PLANNER_VERSION, Change, Plan, StageMemory, StepTime
from engine.planner.predict import change, plan
from engine.planner.profile import PROBED_REACH, DeviceProfile, Link, PowerLevels, profile_of
from engine.planner.ranges import Range
from engine.planner.search import By, Found, Search, changes_of, nearest, search

__all__ = [
    "PHASES",
    "PLANNER_VERSION",
    "PROBED_REACH",
    "By",
    "Calibration",
    "Change",
    "Correction",
    "DeviceProfile",
    "Found",
    "Link",
    "Plan",
    "PowerLevels",
    "Range",
    "Search",
    "StageMemory",
    "StepTime",
    "change",
    "changes_of",
    "nearest",
    "plan",
    "profile_of",
    "search",
]

"""What a spec will take, before it is submitted: memory, time, energy, money. The one door to engine.planning."""

from __future__ import annotations

from engine.planning.answers import PLANNER_VERSION, Change, Plan, StageMemory, StepTime
from engine.planning.calibration import PHASES, Calibration, Correction
from engine.planning.plans import change, plan
from engine.planning.profile import PROBED_REACH, DeviceProfile, Link, PowerLevels, profile_of
from engine.planning.ranges import Range
from engine.planning.search import By, Found, Search, changes_of, nearest, search

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

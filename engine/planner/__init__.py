"""Predictions for a spec before it runs: memory, time, energy and money."""

from __future__ import annotations

from engine.planner.calibration import PHASES, Calibration, PhaseCorrection, fit_correction, outer_deciles
from engine.planner.estimate import Estimate
from engine.planner.places import PlaceUse, PlanWarning, get_checkpoint_disk_bytes
from engine.planner.plan import PLANNER_VERSION, Plan, PlanChange, StepTime
from engine.planner.plan_parts import StageMemory
from engine.planner.predict import plan, predict_change
from engine.planner.profile import PROBED_REACH, HardwareProfile, Link, PowerLevels, profile_from_peak
from engine.planner.search import Goal, PlanCandidate, SearchResult, layout_changes, nearest_fit, search
from engine.planner.step_costs import StepCosts, generic_profile, predict_costs
from engine.planner.traits import OWN, EngineTraits

__all__ = [
    "OWN",
    "PHASES",
    "PLANNER_VERSION",
    "PROBED_REACH",
    "Calibration",
    "EngineTraits",
    "Estimate",
    "Goal",
    "HardwareProfile",
    "Link",
    "PhaseCorrection",
    "PlaceUse",
    "Plan",
    "PlanCandidate",
    "PlanChange",
    "PlanWarning",
    "PowerLevels",
    "SearchResult",
    "StageMemory",
    "StepCosts",
    "StepTime",
    "fit_correction",
    "generic_profile",
    "get_checkpoint_disk_bytes",
    "layout_changes",
    "nearest_fit",
    "outer_deciles",
    "plan",
    "predict_change",
    "predict_costs",
    "profile_from_peak",
    "search",
]

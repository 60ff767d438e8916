"""Host contended: other processes compete for the cores."""

from __future__ import annotations

from engine.verdict.facts import Facts
from engine.verdict.formatting import format_share
from engine.verdict.readings import get_greatest
from engine.verdict.results import Evidence
from engine.verdict.rule import Observation, StateRule
from engine.verdict.stolen import CONTENDED, CORES

PRESSURE_METRIC, PRESSURE = CORES, CONTENDED


def is_contended(facts: Facts) -> bool:
    pressure = _get_pressure(facts)
    return pressure is not None and pressure > PRESSURE


def _get_pressure(facts: Facts) -> float | None:
    """Greatest share of the time in which some process waited for a core."""
    return get_greatest((d for d in facts.devices if d.kind == "cpu"), PRESSURE_METRIC)


def _detect(facts: Facts) -> Observation | None:
    pressure = _get_pressure(facts)
    if pressure is None or pressure <= PRESSURE:
        return None
    return Observation(f"for {format_share(pressure)} of the time some process waited for one", "notable")


def _get_evidence(facts: Facts) -> tuple[Evidence, ...]:
    pressure = _get_pressure(facts)
    threshold = f"> {format_share(PRESSURE)}"
    return (Evidence("CPU pressure", pressure, "share", "measured", threshold, "PSI cpu some"),)


RULE = StateRule(
    id="contended",
    limit="compute",
    title="Host contended",
    sentence="Other work competes for the cores: {text}.",
    formula=f"PSI cpu some > {format_share(PRESSURE)} of the time",
    detect=_detect,
    get_evidence=_get_evidence,
    device_metrics=(PRESSURE_METRIC,),
    no_remedy_reason="no change of the run frees the cores",
    makes_provisional=True,
    shows_notice=False,
)

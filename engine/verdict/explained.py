"""Measured phases of a step held against the planner's costs of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from engine import planner
from engine.planner import OWN, EngineTraits, HardwareProfile, Link, StepCosts, collectives
from engine.spec.spec import Spec, SpecError, parse
from engine.verdict.facts import Facts

# A rank may be slower than the probe of its device, in all phases alike. The phase that is nearest to its prediction
# says by how much; beyond, a phase has work that the model does not know.
MOST_SLOWDOWN = 4.0
PROBE_REACH = 1.3  # of a prediction, within which a longer phase is the same work on a slower device
COMPARED = ("forward_s", "backward_s", "optimiser_s")


@dataclass(frozen=True)
class Explained:
    """`predicted`: costs of the run's spec, slowed down as the whole run is."""

    profile: HardwareProfile
    predicted: StepCosts
    measured: Mapping[str, float]  # seconds by phase
    slowdown: float

    @property
    def is_probed(self) -> bool:
        return self.predicted.standing == "measured"

    @property
    def share(self) -> float:
        """Of the measured time, without what is measured and not predicted or the other way round. Predictions rest on
        ratios, so a run that is faster or slower as a whole is explained as well."""
        predicted = sum(map(self.get_predicted, self.measured))
        scale = sum(self.measured.values()) / predicted if predicted > 0 else 1.0
        both = [(value, scale * self.get_predicted(name)) for name, value in self.measured.items()]
        greater = sum(max(pair) for pair in both)
        return sum(min(pair) for pair in both) / greater if greater > 0 else 0.0

    @property
    def repeated_s(self) -> float:
        """What all micro-batches but one cost beside their arithmetic, in forward and backward."""
        return sum(self._get_repeated_s(name) for name in self.predicted.repeated_s)

    def _get_repeated_s(self, phase: str) -> float:
        """The predicted cost, within a phase that may be shorter than predicted."""
        predicted = self.get_predicted(phase)
        if predicted <= 0:
            return 0.0
        ratio = min(1.0, self.measured.get(phase, 0.0) / predicted)
        return self.predicted.repeated_s[phase] * self.slowdown * ratio

    def get_predicted(self, phase: str) -> float:
        slowed = 1.0 if phase == "communication_s" else self.slowdown
        return self.predicted.phases.get(phase, 0.0) * slowed

    def predict(self, phase: str, seconds: float, after: StepCosts, unexplained_ratio: float) -> float:
        """Seconds of a phase after a change of the spec: the explained part by the model, the rest by its ratio."""
        before = self.get_predicted(phase)
        if before <= 0:
            return seconds * unexplained_ratio
        explained = min(seconds, PROBE_REACH * before)
        ratio = after.phases[phase] / self.predicted.phases[phase]
        return explained * ratio + (seconds - explained) * unexplained_ratio


def explain_step(facts: Facts, measured: Mapping[str, float]) -> Explained | None:
    """None where the planner cannot predict the spec."""
    profile = facts.profile or planner.generic_profile("cpu" if facts.on_cpu else "cuda")
    predicted = predict_costs(facts.spec, profile)
    if predicted is None:
        return None
    ratios = [
        measured[name] / predicted.phases[name] for name in COMPARED if predicted.phases[name] > 0
    ]  # an update that was not measured leaves nothing to tell a slow device from unknown work
    slowdown = min(MOST_SLOWDOWN, max(1.0, min(ratios, default=1.0)))
    return Explained(profile, predicted, measured, slowdown)


def predict_costs(values: Mapping[str, object], profile: HardwareProfile) -> StepCosts | None:
    try:
        return planner.predict_costs(parse(values), profile)
    except (SpecError, ValueError):
        return None


def predict_spec_costs(spec: Spec, profile: HardwareProfile, trainer: EngineTraits = OWN) -> StepCosts:
    """Raises ValueError with the reason."""
    return planner.predict_costs(spec, profile, trainer)


def predict_faster_link(explained: Explained, values: Mapping[str, object], seconds: float) -> float:
    """Seconds of transfers over links of twice the rate and half the latency; what the model does not explain of them
    is the link's too."""
    spec, profile = parse(values), explained.profile
    within = profile.within_node or collectives.slowest_link(profile, min(2, spec.parallel.world_size))
    faster = replace(
        profile, within_node=_double(within) if within else None,
        between_nodes=_double(profile.between_nodes) if profile.between_nodes else None,
    )  # fmt: skip
    return explained.predict("communication_s", seconds, predict_spec_costs(spec, faster), 0.5)


def _double(link: Link) -> Link:
    return Link(link.latency_s / 2, 2 * link.bytes_per_s)

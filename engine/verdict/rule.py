"""Types of verdict rules: losses, parts of the clock, bounds on compute, states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from engine.spec.spec import Spec
from engine.verdict import stolen
from engine.verdict.facts import ClockFacts, Facts
from engine.verdict.remedies import Remedy
from engine.verdict.results import Evidence
from engine.verdict.spec_change import SpecChange
from engine.verdict.spec_edits import SpecEdit
from engine.verdict.step_model import StepModel

# Every loss is what pressures on the host leave of it, and launching operations costs what a GPU idles.
LOSS_METRICS = (*stolen.METRICS, "sm_active_share")

Limit = Literal["compute", "memory", "bandwidth", "power"]


class Claim(NamedTuple):
    """What a bound on compute costs: a share of the step. `hint` ends its sentence."""

    share: float
    severity: str = ""
    hint: str = ""


class Observation(NamedTuple):
    """What a state is about: `text` goes into its sentence."""

    text: str
    severity: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Everything that verdicts, checks and pages know about one rule.

    `sentence` is a format string, `formula` says how the figure is computed. A rule without remedies or without a twin
    gives the reason.
    """

    id: str
    limit: Limit
    title: str
    sentence: str
    formula: str
    remedies: tuple[Remedy, ...] = ()  # the most promising first
    no_remedy_reason: str = ""
    twin_edits: tuple[SpecEdit, ...] = ()  # edits that move the claimed share, the surest first
    no_twin_reason: str = ""
    colour: str = ""  # token of tokens.css for its part of a step; '' if it is not a part of a step
    part_title: str = ""  # name of that part, if it is not the title
    is_avoidable: bool = True  # whether its share could be saved; the model's own arithmetic could not
    # Readings of devices that it needs; others are not collected
    device_metrics: tuple[str, ...] = ()  # their means during the steady steps
    peak_metrics: tuple[str, ...] = ()  # maxima of all readings
    counter_metrics: tuple[str, ...] = ()  # growth over all readings

    @property
    def part_name(self) -> str:
        return self.part_title or self.title

    @property
    def metrics(self) -> frozenset[str]:
        """All readings of devices that it needs."""
        return frozenset((*self.device_metrics, *self.peak_metrics, *self.counter_metrics))


def _no_clock_words(clock: ClockFacts) -> Mapping[str, object]:
    return {}


def _keep(old: Spec, new: Spec) -> float:
    return 1.0


def _same(model: StepModel) -> float:
    return 1.0


def _never(model: StepModel) -> bool:
    return False


def _no_words(model: StepModel) -> Mapping[str, object]:
    return {}


@dataclass(frozen=True, kw_only=True)
class LossRule(Rule):
    """Time of a step that the model's arithmetic does not need. Losses compete with each other.

    `measure`: seconds of a step, from the model and the seconds that compute and the losses before it take; None if the
    rule does not apply. `predict`: these seconds after a change of the spec. `describe`: values for its sentence.
    """

    device_metrics: tuple[str, ...] = LOSS_METRICS
    measure: Callable[[StepModel, float], float | None]
    predict: Callable[[float, SpecChange], float]
    get_evidence: Callable[[StepModel, float], tuple[Evidence, ...]]
    describe: Callable[[StepModel], Mapping[str, object]] = _no_words
    removal_factor: Callable[[StepModel], float] = (
        _same  # time that its cause's removal saves, over its share
    )
    is_stretched_by_others: bool = (
        False  # other processes on the host stretch it, so it is never strong beside them
    )
    is_estimated: Callable[[StepModel], bool] = _never  # an estimate is never strong


@dataclass(frozen=True, kw_only=True)
class ClockRule(Rule):
    """Time of the wall clock outside the steps. It competes with the losses, by its share of the clock.

    `measure`: its seconds, of all attempts. `base`: what its share is of, the training loop or all the time in which
    the devices were held. `least_s`: fewer seconds are never named. `predict`: the part of them that is left after a
    change of the spec.
    """

    measure: Callable[[ClockFacts], float]
    get_evidence: Callable[[ClockFacts], tuple[Evidence, ...]]
    predict: Callable[[Spec, Spec], float] = _keep
    describe: Callable[[ClockFacts], Mapping[str, object]] = _no_clock_words
    base: Literal["loop", "held"] = "loop"
    least_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ComputeBoundRule(Rule):
    """What limits the model's own arithmetic. The first rule that applies is the finding.

    `detect`: its claim, from the facts and the share of compute in the step; None if the rule does not apply.
    """

    detect: Callable[[Facts, float], Claim | None]
    get_evidence: Callable[[Facts], tuple[Evidence, ...]]


@dataclass(frozen=True, kw_only=True)
class StateRule(Rule):
    """A condition beside the verdict, independent of the shares."""

    detect: Callable[[Facts], Observation | None]
    get_evidence: Callable[[Facts], tuple[Evidence, ...]]
    makes_provisional: bool = False
    shows_notice: bool = (
        True  # False: beside a verdict its sentence is shown among the provisional reasons only
    )

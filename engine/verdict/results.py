"""The verdict of a run, as it is stored and shown."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.telemetry.metrics import Status


class Evidence(msgspec.Struct, frozen=True):
    """One figure behind a claim. Without a `value`, `message` gives the reason."""

    figure: str
    value: float | None
    unit: str
    standing: Status
    threshold: str = ""
    formula: str = ""
    message: str = msgspec.field(default="", name="said")


class Finding(msgspec.Struct, frozen=True):
    """One limit, and the share of `base` that its removal would save."""

    rule: str
    limit: str
    title: str
    share: float
    seconds: float
    severity: str  # '', notable or strong
    sentence: str
    evidence: tuple[Evidence, ...] = ()
    base: str = "each step"  # what the share is of


class StateFinding(msgspec.Struct, frozen=True):
    """A condition beside the shares."""

    rule: str
    limit: str
    title: str
    severity: str
    sentence: str
    evidence: tuple[Evidence, ...] = ()


class BarPart(msgspec.Struct, frozen=True):
    name: str
    share: float
    is_lost: bool = False  # time that the model's arithmetic does not need


class LimitBar(msgspec.Struct, frozen=True):
    """The used share of one of the four limits. Without a `share`, `sentence` gives the reason."""

    limit: str
    title: str
    share: float | None
    parts: tuple[BarPart, ...]
    sentence: str
    standing: Status


class ProposedRemedy(msgspec.Struct, frozen=True):
    """A change that may help. `changes` are by path of the spec, empty if no field describes it. `gain_share` is the
    time per token that it should save; without one, `message` gives the reason."""

    id: str
    rule: str
    title: str
    sentence: str
    changes: dict[str, Any]
    gain_share: float | None = None
    standing: Status = "absent"
    message: str = msgspec.field(default="", name="said")
    # The planner's prediction for the pool's devices, beside the one from the run's own phases
    planned_share: float | None = None
    planned_message: str = msgspec.field(default="", name="planned_said")
    fits: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """`rules` has one winner, or the two of a mixed verdict; without steps it is empty and `nothing` gives the reason.
    `provisional` has every reason for doubt."""

    rules_version: int
    rules: tuple[str, ...] = ()
    limit: str = ""  # of the winner; 'mixed' if two winners have two limits
    share: float | None = None
    severity: str = ""
    sentence: str = ""
    provisional: tuple[str, ...] = ()
    nothing: str = ""
    step_s: float | None = None
    compute_s: float | None = None  # of a step, whatever bounds it
    explained_share: float | None = None  # of the step, by the planner's model; predictions rest on it
    num_steps: int = 0
    first_step: int = 0
    last_step: int = 0
    # Parts of the clock that are named, losses by descending share, the bound on compute, other parts of the clock
    findings: tuple[Finding, ...] = ()
    states: tuple[StateFinding, ...] = ()
    bars: tuple[LimitBar, ...] = ()
    remedies: tuple[ProposedRemedy, ...] = ()

    @property
    def name(self) -> str:
        """'communication', or 'communication + input'; '' without a verdict."""
        return " + ".join(self.rules)

    @property
    def is_sure(self) -> bool:
        return bool(self.rules) and not self.provisional

    def get_share(self, rule_id: str) -> float:
        return next((finding.share for finding in self.findings if finding.rule == rule_id), 0.0)


def to_json(verdict: Verdict) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(verdict)
    return values


def from_json(values: Any) -> Verdict:
    return msgspec.convert(values, Verdict, strict=False)

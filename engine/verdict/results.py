"""What a verdict says, as it is stored and shown."""

from __future__ import annotations

from typing import Any

import msgspec

from engine.telemetry.metrics import Status


class Evidence(msgspec.Struct, frozen=True):
    """One figure behind a claim. `value` None: there is none, and `said` tells why."""

    figure: str
    value: float | None
    unit: str
    standing: Status
    threshold: str = ""
    formula: str = ""
    said: str = ""


class Finding(msgspec.Struct, frozen=True):
    """One limit, and the share of a step that would be saved if it were gone."""

    rule: str
    limit: str
    title: str
    share: float
    seconds: float
    severity: str  # '', notable or strong
    sentence: str
    evidence: tuple[Evidence, ...] = ()


class State(msgspec.Struct, frozen=True):
    """Something that is true beside the shares."""

    rule: str
    limit: str
    title: str
    severity: str
    sentence: str
    evidence: tuple[Evidence, ...] = ()


class Part(msgspec.Struct, frozen=True):
    name: str
    share: float
    is_lost: bool = False  # time that no arithmetic of the model needs


class Bar(msgspec.Struct, frozen=True):
    """One of the four limits: how far it is used up. `share` None: not measured, and `sentence` tells why."""

    limit: str
    title: str
    share: float | None
    parts: tuple[Part, ...]
    sentence: str
    standing: Status


class Remedy(msgspec.Struct, frozen=True):
    """A change that may help. `changes` by path of the spec; empty: nothing that a spec can say. `gain_share`: time a
    token that it should save; None: not predicted, and `said` tells why."""

    id: str
    rule: str
    title: str
    sentence: str
    changes: dict[str, Any]
    gain_share: float | None = None
    standing: Status = "absent"
    said: str = ""
    # What the planner says of it for the pool's devices, beside what the run's own phases say
    planned_share: float | None = None
    planned_said: str = ""
    fits: str = ""


class Verdict(msgspec.Struct, frozen=True):
    """`rules`: one winner, or the two of a mixed verdict; none where there is nothing to judge (`nothing` says why).
    `provisional`: every reason for not being sure."""

    rules_version: int
    rules: tuple[str, ...] = ()
    limit: str = ""  # of the winner; 'mixed' where two winners are of two limits
    share: float | None = None
    severity: str = ""
    sentence: str = ""
    provisional: tuple[str, ...] = ()
    nothing: str = ""
    step_s: float | None = None
    compute_s: float | None = None  # of a step, whatever holds it back
    num_steps: int = 0
    first_step: int = 0
    last_step: int = 0
    findings: tuple[Finding, ...] = ()  # the greatest share first; compute last
    states: tuple[State, ...] = ()
    bars: tuple[Bar, ...] = ()
    remedies: tuple[Remedy, ...] = ()

    @property
    def name(self) -> str:
        """'communication', or 'communication + input'; '' without a verdict."""
        return " + ".join(self.rules)

    @property
    def is_sure(self) -> bool:
        return bool(self.rules) and not self.provisional

    def share_of(self, rule: str) -> float:
        return next((finding.share for finding in self.findings if finding.rule == rule), 0.0)


def to_json(verdict: Verdict) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(verdict)
    return found


def from_json(values: Any) -> Verdict:
    return msgspec.convert(values, Verdict, strict=False)

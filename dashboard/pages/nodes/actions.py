"""What an admin may ask of a node: one row a verb, read by buttons, dialogs and the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django import forms
from django.utils import timezone

from jobs.models import Node
from jobs.nodes import admin
from jobs.states.nodes import ADMIN_MOVES, AdminState, DrainPolicy, Health

HOURS_LIMIT = 24 * 365
POLICIES = {
    DrainPolicy.FINISH: (
        "Let them finish",
        "Every job runs to its end; the latest end is by its time limit.",
    ),
    DrainPolicy.CHECKPOINT: (
        "Checkpoint and requeue",
        "Every job stops at its next step border, keeps a checkpoint, and resumes on another node.",
    ),
    DrainPolicy.DEADLINE: (
        "By a deadline",
        "Jobs may finish until then; what still runs is checkpointed and requeued.",
    ),
}


@dataclass(frozen=True)
class Verb:
    name: str  # in the address
    title: str
    icon: str
    says: str  # what follows from it
    done: str  # what is said of the node, once it is so
    ask: Callable[..., Node]
    to: str = ""  # the admin state that it leads to; '': see is_open_to
    needs_reason: bool = True
    takes: Literal["", "until", "policy"] = ""  # beside the reason
    tone: str = "plain"

    def is_open_to(self, node: Node, has_suspects: bool) -> bool:
        if not self.to:
            return node.health == Health.SUSPECT or has_suspects
        return node.admin_state in ADMIN_MOVES[self.to]


VERBS = {
    verb.name: verb
    for verb in (
        Verb("cordon", "Cordon", "slash-circle", "No new work. What runs goes on. A cordon ends a drain.",
             "takes no new work.", admin.cordon, AdminState.CORDONED, takes="until"),
        Verb("drain", "Drain", "box-arrow-right", "No new work, and what runs is brought to an end.",
             "is being drained.", admin.drain, AdminState.DRAINING, takes="policy"),
        Verb("maintenance", "Maintenance", "tools", "Somebody works on it: nothing may run, so drain it first.",
             "is in maintenance.", admin.begin_maintenance, AdminState.MAINTENANCE, takes="until"),
        Verb("uncordon", "Open again", "play-fill", "New work again. This ends a cordon, a drain or maintenance.",
             "takes work again.", admin.uncordon, AdminState.OPEN, needs_reason=False),
        Verb("readmit", "Readmit", "check-circle-fill", "The node and its suspect devices are trusted again.",
             "is trusted again.", admin.readmit, needs_reason=False),
        Verb("retire", "Retire", "x-lg",
             "For good: this node's key is not accepted again. The machine may join anew from an empty folder.",
             "is retired.", admin.retire, AdminState.RETIRED, tone="bad"),
    )
}  # fmt: skip


def open_to(node: Node, has_suspects: bool) -> list[Verb]:
    return [verb for verb in VERBS.values() if verb.is_open_to(node, has_suspects)]


class VerbForm(forms.Form):
    """What goes with a verb. A time is given in hours from now: the admin's clock and the server's may differ."""

    reason = forms.CharField(max_length=300, required=False)
    policy = forms.ChoiceField(choices=DrainPolicy.choices, required=False)
    hours = forms.FloatField(min_value=0.01, max_value=HOURS_LIMIT, required=False)

    def __init__(self, verb: Verb, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.verb = verb

    def clean(self) -> dict[str, Any]:
        """Each problem names what was said, the limit and a way out."""
        values = super().clean() or self.cleaned_data
        for name, sentence in self._problems(values):
            self.errors.pop(name, None)
            self.add_error(name, sentence)
        return values

    def _problems(self, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
        said = {name: self.data.get(name, "") for name in self.fields}
        if "reason" in self.errors:
            yield "reason", f"{len(said['reason'])} characters; the limit is 300. Say it shorter."
        elif self.verb.needs_reason and not values.get("reason"):
            yield "reason", "Say why: whoever waits for this node reads it."
        if "policy" in self.errors:
            yield "policy", f"'{said['policy']}' is no policy; say one of {', '.join(DrainPolicy.values)}."
        elif self.verb.takes == "policy" and not values.get("policy"):
            yield "policy", "Choose what becomes of the jobs that run here."
        if "hours" in self.errors:
            yield "hours", f"'{said['hours']}' is not between 0.01 and {HOURS_LIMIT:,} hours; say 4 or 0.5."
        elif values.get("policy") == DrainPolicy.DEADLINE and values.get("hours") is None:
            yield "hours", "A deadline needs a time: say in how many hours it is."

    def ask(self, node: Node, actor: str) -> Node:
        """Carry it out. Raises StateError when the node's state, or what it runs, does not allow it."""
        values, given = self.cleaned_data, {}
        if self.verb.takes == "until":
            given = {"until": self._until()}
        elif self.verb.takes == "policy":
            is_deadline = values["policy"] == DrainPolicy.DEADLINE
            given = {"policy": values["policy"], "until": self._until() if is_deadline else None}
        return self.verb.ask(node, actor, values["reason"], **given)

    def _until(self) -> datetime | None:
        hours = self.cleaned_data["hours"]
        return None if hours is None else timezone.now() + timedelta(hours=hours)

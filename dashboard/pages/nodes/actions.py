"""Texts and form of the actions on a node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.utils import timezone

from jobs.models import Node
from jobs.nodes.admin import REASON_LIMIT
from jobs.scheduler.node_actions import ACTIONS, NodeAction, perform
from jobs.states.nodes import DrainPolicy

HOURS_LIMIT = 24 * 365
POLICIES = {
    DrainPolicy.FINISH: (
        "Let them finish",
        "Every job runs to its end; the latest end is by its time limit.",
    ),
    DrainPolicy.CHECKPOINT: (
        "Checkpoint and requeue",
        "Every job stops at its next step boundary, keeps a checkpoint, and continues as listed below.",
    ),
    DrainPolicy.DEADLINE: (
        "By a deadline",
        "Jobs may finish until then; those that still run are checkpointed and requeued.",
    ),
}


@dataclass(frozen=True)
class ActionText:
    """An action as buttons and dialogs show it."""

    action: NodeAction
    title: str
    icon: str
    effect: str
    done: str  # the message after the action; follows the node's name
    tone: str = "plain"

    @property
    def name(self) -> str:
        return self.action.name

    @property
    def needs_reason(self) -> bool:
        return self.action.needs_reason

    @property
    def takes(self) -> str:
        return self.action.takes


TEXTS = {
    text.name: text
    for text in (
        ActionText(ACTIONS["cordon"], "Cordon", "slash-circle",
                   "No new work; running jobs continue. A cordon ends a drain.", "takes no new work."),
        ActionText(ACTIONS["drain"], "Drain", "box-arrow-right",
                   "No new work, and running jobs are ended.", "is being drained."),
        ActionText(ACTIONS["maintenance"], "Maintenance", "tools",
                   "Nothing may run during maintenance, so drain the node first.", "is in maintenance."),
        ActionText(ACTIONS["uncordon"], "Open again", "play-fill",
                   "New work again. This ends a cordon, a drain or maintenance.", "takes work again."),
        ActionText(ACTIONS["readmit"], "Readmit", "check-circle-fill",
                   "The node and its suspect devices are trusted again.", "is trusted again."),
        ActionText(ACTIONS["retire"], "Retire", "x-lg",
                   "Permanent: this node's key is not accepted again. The machine may join again with an empty folder.",
                   "is retired.", tone="bad"),
    )
}  # fmt: skip


def list_open_actions(node: Node, has_suspects: bool) -> list[ActionText]:
    return [text for text in TEXTS.values() if text.action.is_open_to(node, has_suspects)]


class ActionForm(forms.Form):
    """Fields of an action. A time is in hours from now, because the clocks of admin and server may differ."""

    reason = forms.CharField(max_length=REASON_LIMIT, required=False)
    policy = forms.ChoiceField(choices=DrainPolicy.choices, required=False)
    hours = forms.FloatField(min_value=0.01, max_value=HOURS_LIMIT, required=False)

    def __init__(self, action: NodeAction, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.action = action

    def clean(self) -> dict[str, Any]:
        """Replace Django's messages with ones that name the value, the limit and a way out."""
        values = super().clean() or self.cleaned_data
        for name, message in self._problems(values):
            self.errors.pop(name, None)
            self.add_error(name, message)
        return values

    def _problems(self, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
        typed = {name: self.data.get(name, "") for name in self.fields}
        if "reason" in self.errors:
            yield "reason", f"{len(typed['reason'])} characters; the limit is {REASON_LIMIT}. Shorten it."
        elif self.action.needs_reason and not values.get("reason"):
            yield "reason", "A reason is needed: people who wait for this node read it."
        if "policy" in self.errors:
            known = ", ".join(DrainPolicy.values)
            yield "policy", f"'{typed['policy']}' is not a policy. Known: {known}."
        elif self.action.takes == "policy" and not values.get("policy"):
            yield "policy", "Choose what happens to the jobs that run here."
        if "hours" in self.errors:
            yield "hours", f"'{typed['hours']}' is not between 0.01 and {HOURS_LIMIT:,} hours; try 4 or 0.5."
        elif values.get("policy") == DrainPolicy.DEADLINE and values.get("hours") is None:
            yield "hours", "A deadline needs a time in hours from now."

    def perform(self, node: Node, actor: str) -> Node:
        """Perform the action. Raises StateError when the node's state, or what runs on it, does not allow it."""
        values, until = self.cleaned_data, None
        takes_time = self.action.takes == "until" or values["policy"] == DrainPolicy.DEADLINE
        if takes_time and values["hours"] is not None:
            until = timezone.now() + timedelta(hours=values["hours"])
        return perform(self.action, node, actor, values["reason"], policy=values["policy"], until=until)

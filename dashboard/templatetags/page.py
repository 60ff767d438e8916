"""Small pieces of markup that every page uses: icons, state badges, links that keep the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.html.badges import (
    ATTEMPT_BADGES,
    DEVICE_BADGES,
    HEALTH_BADGES,
    JOB_BADGES,
    NODE_BADGES,
    SWEEP_BADGES,
    WAITING,
    Badge,
)
from dashboard.html.markup import ago, ahead, badge_markup, icon, job_badge, tone_badge
from dashboard.html.navigation import PLACES, Place
from dashboard.pages.jobs.actions import Wish, open_to
from dashboard.pages.submit.spec_fields import SpecField
from engine.data.lines import KIND_TITLES
from engine.telemetry.metrics import BY_NAME
from jobs.models import Job, Node
from jobs.nodes.heartbeat import is_fresh
from jobs.planning.calibration import FIELD_BY_PHASE
from jobs.verdicts.forecasts import BY_NAME as FORECAST_FIELDS

register = template.Library()
for _tag in (icon, tone_badge, job_badge, ahead, ago):
    register.simple_tag(_tag)


@register.simple_tag
def data_kind(kind: str) -> str:
    """What a corpus holds, in words."""
    return KIND_TITLES.get(kind, "not known yet")


@register.simple_tag
def sweep_badge(state: str) -> SafeString:
    return badge_markup(state, SWEEP_BADGES[state])


@register.simple_tag
def silent_badge(state: str) -> SafeString:
    """Of a run whose writer has gone quiet: what it said last, and that nobody knows whether it still holds."""
    return badge_markup(f"{state}, silent", Badge("warn", "eye-slash"))


@register.simple_tag
def attempt_badge(state: str) -> SafeString:
    return badge_markup(state, ATTEMPT_BADGES[state])


@register.simple_tag
def node_badges(node: Node) -> SafeString:
    """What an admin wants of it, and how it is where that is not well; a healthy open node is 'ready'. A silent one is
    called so at once, whether or not a scheduler has noted it yet."""
    health = node.health
    if (
        health in ("ok", "suspect")
        and node.admin_state != "retired"
        and not is_fresh(node.heartbeat_at, timezone.now())
    ):
        health = "unreachable"
    if node.admin_state == "open" and health == "ok":
        return badge_markup("ready", NODE_BADGES["open"])
    admin = (
        badge_markup(node.admin_state, NODE_BADGES[node.admin_state]) if node.admin_state != "open" else ""
    )
    return format_html("{} {}", admin, badge_markup(health, HEALTH_BADGES[health]) if health != "ok" else "")


@register.simple_tag
def device_badge(health: str) -> SafeString:
    return badge_markup(health, DEVICE_BADGES[health])


@register.simple_tag
def waiting_badge(waiting_for: dict[str, Any]) -> SafeString:
    """What a waiting job waits for; a code that nobody has drawn yet is spelt out."""
    code = waiting_for.get("code", "")
    badge, name = WAITING.get(code, (JOB_BADGES["queued"], code.lower().replace("_", " ") or "scheduler"))
    return badge_markup(name, badge)


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """This page's address with some query values changed; None takes one out."""
    values = context["request"].GET.copy()
    for name, value in changes.items():
        values.pop(name, None)
        if value not in (None, ""):
            values[name] = value
    return f"?{values.urlencode()}"


@register.simple_tag(takes_context=True)
def places(context: dict[str, Any]) -> list[tuple[Place, bool]]:
    """The pages of the bar, each with whether the reader is there."""
    match = context["request"].resolver_match
    here = match.url_name if match else None
    return [(place, here == place.route or here in place.also) for place in PLACES]


@register.filter
def wishes(job: Job) -> list[Wish]:
    return open_to(job)


@register.filter
def metric_label(name: str) -> str:
    return BY_NAME[name].label


@register.filter
def field_title(name: str) -> str:
    """What a predicted field is called."""
    return FORECAST_FIELDS[name].title


@register.filter
def phase_title(phase: str) -> str:
    """What the field of a correction's phase is called."""
    return FORECAST_FIELDS[FIELD_BY_PHASE[phase]].title


@register.filter
def human_kind(kind: str) -> str:
    """An event's kind for people: 'job.running' -> 'job running', 'note.warning' -> 'warning'."""
    return "note" if kind == "note.info" else kind.removeprefix("note.").replace(".", " ")


@register.filter
def nth(values: Sequence[Any], index: int) -> Any:
    return values[index]


@register.filter
def basename(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


@register.filter
def at(values: Mapping[str, Any], key: str) -> Any:
    """What a table has at a key that is only known here."""
    return values[key]


@register.filter
def offers(field: SpecField, text: str) -> bool:
    """Whether a choice has this text; one that it has not is kept, so that its problem can be seen."""
    return text in map(str, field.choices)

"""Small pieces of markup that every page uses: icons, state badges, links that keep the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.badges import (
    ATTEMPT_BADGES,
    DEVICE_BADGES,
    HEALTH_BADGES,
    JOB_BADGES,
    NODE_BADGES,
    SWEEP_BADGES,
    WAITING,
    Badge,
)
from dashboard.devices import is_fresh
from dashboard.forms import SpecField
from dashboard.navigation import PLACES, Place
from dashboard.templatetags.units import ABSENT, SPANS, as_rough
from dashboard.wishes import Wish, open_to
from engine.data.lines import KIND_TITLES
from engine.telemetry.metrics import BY_NAME
from jobs.models import Job, Node
from jobs.planning.calibration import FIELD_OF
from jobs.verdicts.forecasts import BY_NAME as FORECAST_FIELDS

register = template.Library()
SPRITE = "vendor/bootstrap-icons-1.13.2/sprite.svg"


@register.simple_tag
def icon(name: str) -> SafeString:
    return format_html(
        '<svg class="icon" aria-hidden="true"><use href="{}#{}"></use></svg>', static(SPRITE), name
    )


@register.simple_tag
def data_kind(kind: str) -> str:
    """What a corpus holds, in words."""
    return KIND_TITLES.get(kind, "not known yet")


@register.simple_tag
def tone_badge(tone: str, icon_name: str, text: str) -> SafeString:
    """A badge of no state: a tone of app.css, an icon and a word."""
    return _badge(text, Badge(tone, icon_name))


@register.simple_tag
def job_badge(state: str) -> SafeString:
    return _badge(state, JOB_BADGES[state])


@register.simple_tag
def sweep_badge(state: str) -> SafeString:
    return _badge(state, SWEEP_BADGES[state])


@register.simple_tag
def silent_badge(state: str) -> SafeString:
    """Of a run whose writer has gone quiet: what it said last, and that nobody knows whether it still holds."""
    return _badge(f"{state}, silent", Badge("warn", "eye-slash"))


@register.simple_tag
def attempt_badge(state: str) -> SafeString:
    return _badge(state, ATTEMPT_BADGES[state])


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
        return _badge("ready", NODE_BADGES["open"])
    admin = _badge(node.admin_state, NODE_BADGES[node.admin_state]) if node.admin_state != "open" else ""
    return format_html("{} {}", admin, _badge(health, HEALTH_BADGES[health]) if health != "ok" else "")


@register.simple_tag
def device_badge(health: str) -> SafeString:
    return _badge(health, DEVICE_BADGES[health])


@register.simple_tag
def waiting_badge(waiting_for: dict[str, Any]) -> SafeString:
    """What a waiting job waits for; a code that nobody has drawn yet is spelt out."""
    code = waiting_for.get("code", "")
    badge, name = WAITING.get(code, (JOB_BADGES["queued"], code.lower().replace("_", " ") or "scheduler"))
    return _badge(name, badge)


@register.simple_tag
def ahead(at: datetime | None) -> SafeString:
    """How long until then, kept up to date by app.js; the instant itself is in the title."""
    if at is None:
        return format_html('<span class="quiet">{}</span>', ABSENT)
    seconds = (at - timezone.now()).total_seconds()
    said = f"in {as_rough(seconds)}" if seconds >= 1 else "any moment"
    return format_html(
        '<time data-ahead datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        said,
    )


@register.simple_tag
def ago(at: datetime | None) -> SafeString:
    """How long ago, kept up to date by app.js; the instant itself is in the title."""
    if at is None:
        return format_html('<span class="quiet">{}</span>', ABSENT)
    seconds = max(0.0, (timezone.now() - at).total_seconds())
    size, name = next((span for span in SPANS if seconds >= span[0]), SPANS[-1])
    said = "just now" if seconds < 10 else f"{seconds // size:.0f} {name} ago"
    return format_html(
        '<time data-ago datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S} UTC",
        said,
    )


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
    return FORECAST_FIELDS[FIELD_OF[phase]].title


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


def _badge(state: str, badge: Badge) -> SafeString:
    return format_html(
        '<span class="badge-state is-{}"><span class="beat">{}</span>{}</span>',
        badge.tone,
        icon(badge.icon),
        state,
    )


@register.filter
def at(values: Mapping[str, Any], key: str) -> Any:
    """What a table has at a key that is only known here."""
    return values[key]


@register.filter
def offers(field: SpecField, text: str) -> bool:
    """Whether a choice has this text; one that it has not is kept, so that its problem can be seen."""
    return text in map(str, field.choices)

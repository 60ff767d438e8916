"""Template tags of all pages: icons, state badges, links that keep the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from django import template
from django.conf import settings
from django.http import QueryDict
from django.utils import timezone
from django.utils.safestring import SafeString

from dashboard.access import get_scope
from dashboard.charts.panel_markup import render_panel
from dashboard.charts.panels import Panel
from dashboard.html.badges import (
    ATTEMPT_BADGES,
    DEVICE_BADGES,
    JOB_BADGES,
    NODE_BADGES,
    SWEEP_BADGES,
    WAITING_BADGES,
    Badge,
)
from dashboard.html.markup import ago, ahead, badge_markup, cut_middle, icon, job_badge, tone_badge
from dashboard.html.navigation import NavigationItem
from dashboard.html.shown_rows import MORE, ShownRows
from dashboard.pages.jobs.actions import JobAction, list_actions
from dashboard.pages.people import roles
from dashboard.pages.submit.spec_fields import SpecField
from engine.data.lines import KIND_TITLES
from engine.telemetry.metrics import BY_NAME
from jobs.models import Job, Node
from jobs.nodes.heartbeat import current_state
from jobs.planning.calibration import FIELD_BY_PHASE
from jobs.verdicts.forecasts import BY_NAME as FORECAST_FIELDS

register = template.Library()
for _tag in (icon, tone_badge, job_badge, ahead, ago):
    register.simple_tag(_tag)


@register.simple_tag
def data_kind(kind: str) -> str:
    """Return the title of a corpus's kind of lines."""
    return KIND_TITLES.get(kind, "not known yet")


@register.simple_tag
def sweep_badge(state: str) -> SafeString:
    return badge_markup(state, SWEEP_BADGES[state])


@register.simple_tag
def silent_badge(state: str) -> SafeString:
    """Render the last known state of a run whose writer is silent."""
    return badge_markup(f"{state}, silent", Badge("warn", "eye-slash"))


@register.simple_tag
def attempt_badge(state: str) -> SafeString:
    return badge_markup(state, ATTEMPT_BADGES[state])


@register.simple_tag
def node_badge(node: Node) -> SafeString:
    """Render the state of a node in one word."""
    state = current_state(node, timezone.now())
    return badge_markup(state, NODE_BADGES[state])


@register.simple_tag
def device_badge(health: str) -> SafeString:
    return badge_markup(health, DEVICE_BADGES[health])


@register.simple_tag
def waiting_badge(waiting_for: dict[str, Any]) -> SafeString:
    """Render what a waiting job waits for; a code without a badge is shown as text."""
    code = waiting_for.get("code", "")
    badge, name = WAITING_BADGES.get(
        code, (JOB_BADGES["queued"], code.lower().replace("_", " ") or "scheduler")
    )
    return badge_markup(name, badge)


@register.simple_tag(takes_context=True)
def query(context: dict[str, Any], **changes: Any) -> str:
    """Return this page's query with some values changed; None removes one."""
    values = context["request"].GET.copy()
    for name, value in changes.items():
        values.pop(name, None)
        if value not in (None, ""):
            values[name] = value
    return f"?{values.urlencode()}"


@register.simple_tag(takes_context=True)
def navigation_items(context: dict[str, Any]) -> list[tuple[NavigationItem, bool]]:
    """Return the items of the navigation bar, each with whether it is the current page."""
    urls = import_module(settings.ROOT_URLCONF)
    match = context["request"].resolver_match
    current = match.url_name if match else None
    return [(item, current == item.route or current in item.child_routes) for item in urls.NAVIGATION]


@register.inclusion_tag("parts/shown.html", takes_context=True)
def shown(context: dict[str, Any], rows: ShownRows, rest: str = "", page: str = "") -> dict[str, Any]:
    """Render '50 of 312' with a link to all rows, or with `rest`, which says where they are. `page`: its address, where
    the list is part of another response."""
    request = context.get("request")  # none in a part that is sent as text
    values = request.GET.copy() if request else QueryDict(mutable=True)
    if rows.name not in values.getlist(MORE):
        values.appendlist(MORE, rows.name)
    return {"rows": rows, "rest": rest, "address": f"{page}?{values.urlencode()}"}


@register.simple_tag(takes_context=True)
def may_submit(context: dict[str, Any]) -> bool:
    """Whether the person may submit jobs for some team."""
    return bool(get_scope(context["request"]).member_team_ids)


@register.simple_tag(takes_context=True)
def role_note(context: dict[str, Any]) -> roles.RoleNote | None:
    """Return what a viewer, or a person in no team, may do and whom to ask; None for a member."""
    return roles.build_note(get_scope(context["request"]))


@register.filter
def actions(job: Job) -> list[JobAction]:
    """Return the actions that a job's state allows."""
    return list_actions(job)


@register.filter
def metric_label(name: str) -> str:
    return BY_NAME[name].label


@register.filter
def field_title(name: str) -> str:
    """Return the title of a predicted field."""
    return FORECAST_FIELDS[name].title


@register.filter
def phase_title(phase: str) -> str:
    """Return the title of the predicted field that a correction's phase belongs to."""
    return FORECAST_FIELDS[FIELD_BY_PHASE[phase]].title


@register.filter
def human_kind(kind: str) -> str:
    """Return an event's kind as text: 'job.running' -> 'job running', 'note.warning' -> 'warning'."""
    return "note" if kind == "note.info" else kind.removeprefix("note.").replace(".", " ")


@register.filter
def nth(values: Sequence[Any], index: int) -> Any:
    return values[index]


register.filter(cut_middle)


@register.simple_tag
def chart_panel(
    panel: Panel, state: str = "", absences: Sequence[Any] = (), sources: Sequence[Any] = ()
) -> SafeString:
    return render_panel(panel, state, absences, sources)


@register.filter
def basename(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


@register.filter
def at(values: Mapping[str, Any], key: str) -> Any:
    """Return the value at a key that only the template knows."""
    return values[key]


@register.filter
def has_choice(field: SpecField, text: str) -> bool:
    """Whether the field has a choice with this text. The form also shows a text without a choice, with its problem."""
    return text in map(str, field.choices)

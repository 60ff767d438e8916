"""Page of a node: state, devices, occupants, history and actions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dashboard.access import get_scope
from dashboard.charts import panels, run_labels
from dashboard.html.responses import answer
from dashboard.pages.nodes import devices, profiles
from dashboard.pages.nodes.actions import POLICIES, TEXTS, ActionForm, ActionText, list_open_actions
from jobs.models import Device, Node
from jobs.nodes import admin
from jobs.nodes.occupants import devices_with_leases, get_ended_attempts, get_occupants
from jobs.planning import device_profiles as probes
from jobs.scheduler import drains
from jobs.states.jobs import StateError
from jobs.states.nodes import DeviceHealth

EVENTS_PER_PAGE = 30
ENDED_SHOWN = 8
CHARTED = 8  # runs whose devices are drawn; there are not more distinct colours
PANELS = ("utilisation_pct", "memory_used_bytes", "memory_bandwidth_share", "power_w", "temperature_celsius")


@require_safe
def detail(request: HttpRequest, node_id: str) -> HttpResponse:
    node = get_object_or_404(Node.objects.select_related("pool"), id=node_id)
    context = _build_context(request, node)
    if request.headers.get("HX-Request"):
        return render(request, "nodes/_status.html", context)
    drawn = [occupant for occupant in context["occupants"] if occupant.can_see_details][:CHARTED]
    context |= {
        "facts": devices.list_facts(node.facts),
        "panels": [panel for _, row in panels.SECTIONS for panel in row if panel.key in PANELS]
        if drawn
        else [],
        "names": {
            "runs": run_labels.label_runs([occupant.job.run for occupant in drawn]),
            "devices": {card.device.id: f"#{card.device.index}" for card in context["cards"]},
        },
    }
    return render(request, "nodes/detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, node_id: str, verb: str) -> HttpResponse:
    """Show the dialog of an action with the jobs it would affect, or perform it."""
    get_scope(request).must_be_admin()
    text = TEXTS.get(verb)
    if text is None:
        raise Http404
    node = get_object_or_404(Node.objects.select_related("pool"), id=node_id)
    if request.method != "POST":
        return _render_dialog(request, node, text, ActionForm(text.action))
    form = ActionForm(text.action, request.POST)
    if not form.is_valid():
        return _render_dialog(request, node, text, form, status=422)
    page = reverse("node", args=[node.id])
    try:
        form.perform(node, request.user.get_username())
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"{node.name} {text.done}", page)


@require_POST
def mark(request: HttpRequest, node_id: str, device_id: str) -> HttpResponse:
    """Mark a device suspect, failed or ok, with the reason."""
    get_scope(request).must_be_admin()
    device = get_object_or_404(Device.objects.select_related("node"), id=device_id, node=node_id)
    health, reason = request.POST.get("health", ""), request.POST.get("reason", "")
    page = reverse("node", args=[node_id])
    if problems := admin.mark_problems(health, reason):
        return answer(request, problems[0].message, page, is_refused=True)
    try:
        admin.set_device_health(device, health, request.user.get_username(), reason)
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"Device {device.index} of {device.node.name} is {health}.", page)


@require_POST
def probe(request: HttpRequest, node_id: str) -> HttpResponse:
    """Request a new probe of the node's devices."""
    get_scope(request).must_be_admin()
    node = get_object_or_404(Node, id=node_id)
    page = reverse("node", args=[node_id])
    try:
        probes.request_probe(node, request.user.get_username())
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"The devices of {node.name} are probed as soon as it is idle.", page)


def _build_context(request: HttpRequest, node: Node) -> dict[str, Any]:
    """The context of nodes/_status.html, the part of the page that refreshes."""
    now, can_see = timezone.now(), get_scope(request).can_see_details
    cards = [
        devices.build_card(device, can_see, now)
        for device in devices_with_leases().filter(node=node).order_by("index")
    ]
    num_held = sum(card.is_held for card in cards)
    events = node.events.select_related("device").order_by("-id")
    return {
        "node": node,
        "cards": cards,
        "occupants": get_occupants(node, can_see),
        "host": devices.list_host_readings(node, now),
        "num_held": num_held,
        "actions": list_open_actions(node, any(card.device.health == DeviceHealth.SUSPECT for card in cards)),
        "events": Paginator(events, EVENTS_PER_PAGE).get_page(request.GET.get("page")),
        "ended": [
            (attempt, can_see(attempt.job.team_id)) for attempt in get_ended_attempts(node, ENDED_SHOWN)
        ],
        "profiles": profiles.build_cards(node),
        "may_probe": get_scope(request).is_admin and node.admin_state not in probes.CLOSED_STATES,
        "healths": DeviceHealth.values,
        "is_admin": get_scope(request).is_admin,
    }


def _render_dialog(
    request: HttpRequest, node: Node, text: ActionText, form: ActionForm, status: int = 200
) -> HttpResponse:
    can_see = get_scope(request).can_see_details
    occupants = get_occupants(node, can_see)
    plans = {one.job.id: one for one in drains.plan_drain(node)} if text.takes == "policy" else {}
    context = {
        "node": node,
        "action": text,
        "form": form,
        "policies": [(key, *texts) for key, texts in POLICIES.items()],
        "occupants": occupants,
        "affected": [(occupant, plans.get(occupant.job.id)) for occupant in occupants],
        "stranded": [(job, row, can_see(job.team_id)) for job, row in drains.list_stranded(node)]
        if text.name in ("retire", "maintenance")
        else [],
        "last_end": max((occupant.ends_by for occupant in occupants), default=None),
        "soon": timezone.now() + timedelta(seconds=60),
    }
    if request.headers.get("HX-Request"):  # HTMX swaps in answers of status 200 only
        return render(request, "nodes/_action.html", context)
    return render(request, "nodes/action.html", context, status=status)

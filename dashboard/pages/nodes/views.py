"""One node's page: how it stands, what it holds and until when, its story; and what an admin may ask of it."""

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
from dashboard.pages.nodes import devices, occupants, profiles
from dashboard.pages.nodes.actions import POLICIES, VERBS, Verb, VerbForm, open_to
from jobs.models import Attempt, Device, Node
from jobs.nodes import admin
from jobs.planning import device_profiles as probes
from jobs.states.jobs import ATTEMPT_LIVE, StateError
from jobs.states.nodes import DeviceHealth

EVENTS_A_PAGE = 30
ENDED_SHOWN = 8
CHARTED = 8  # runs whose devices are drawn; more lines than colours cannot be told apart
PANELS = ("utilisation_pct", "memory_used_bytes", "memory_bandwidth_share", "power_w", "temperature_celsius")


@require_safe
def detail(request: HttpRequest, node_id: str) -> HttpResponse:
    node = get_object_or_404(Node.objects.select_related("pool"), id=node_id)
    context = _standing(request, node)
    if request.headers.get("HX-Request"):
        return render(request, "nodes/_standing.html", context)
    drawn = [holder for holder in context["holders"] if holder.is_told][:CHARTED]
    context |= {
        "facts": devices.facts_of(node.facts),
        "panels": [panel for _, row in panels.SECTIONS for panel in row if panel.key in PANELS]
        if drawn
        else [],
        "names": {
            "runs": run_labels.of_runs([holder.job.run for holder in drawn]),
            "devices": {card.device.id: f"#{card.device.index}" for card in context["cards"]},
        },
    }
    return render(request, "nodes/detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: HttpRequest, node_id: str, verb: str) -> HttpResponse:
    """The dialog of a verb with what it would touch, and carrying it out."""
    get_scope(request).must_be_admin()
    row = VERBS.get(verb)
    if row is None:
        raise Http404
    node = get_object_or_404(Node.objects.select_related("pool"), id=node_id)
    if request.method != "POST":
        return _dialog(request, node, row, VerbForm(row))
    form = VerbForm(row, request.POST)
    if not form.is_valid():
        return _dialog(request, node, row, form, status=422)
    page = reverse("node", args=[node.id])
    try:
        form.ask(node, request.user.get_username())
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"{node.name} {row.done}", page)


@require_POST
def mark(request: HttpRequest, node_id: str, device_id: str) -> HttpResponse:
    """Call a device suspect, failed or ok, with the reason."""
    get_scope(request).must_be_admin()
    device = get_object_or_404(Device.objects.select_related("node"), id=device_id, node=node_id)
    health, reason = request.POST.get("health", ""), request.POST.get("reason", "").strip()[:300]
    page = reverse("node", args=[node_id])
    if health not in DeviceHealth.values:
        return answer(request, f"'{health}' is no state of a device.", page, is_refused=True)
    if health != DeviceHealth.OK and not reason:
        return answer(
            request, "Say why: whoever wonders where the device went reads it.", page, is_refused=True
        )
    try:
        admin.mark(device, health, request.user.get_username(), reason)
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"Device {device.index} of {device.node.name} is {health}.", page)


@require_POST
def probe(request: HttpRequest, node_id: str) -> HttpResponse:
    """Have the node's devices measured anew."""
    get_scope(request).must_be_admin()
    node = get_object_or_404(Node, id=node_id)
    page = reverse("node", args=[node_id])
    try:
        probes.ask(node, request.user.get_username())
    except StateError as error:
        return answer(request, str(error), page, is_refused=True)
    return answer(request, f"The devices of {node.name} are probed as soon as it is idle.", page)


def _standing(request: HttpRequest, node: Node) -> dict[str, Any]:
    """What changes while one looks."""
    now, told = timezone.now(), get_scope(request).can_see_details
    cards = [
        devices.card(one, told, now) for one in devices.with_holders().filter(node=node).order_by("index")
    ]
    num_held = sum(card.is_held for card in cards)
    events = node.events.select_related("device").order_by("-id")
    return {
        "node": node,
        "cards": cards,
        "holders": occupants.on_node(node, told),
        "host": devices.host_figures(node, now),
        "num_held": num_held,
        "allocation": admin.allocation(len(cards) - num_held, num_held),
        "verbs": open_to(node, any(card.device.health == DeviceHealth.SUSPECT for card in cards)),
        "events": Paginator(events, EVENTS_A_PAGE).get_page(request.GET.get("page")),
        "ended": _ended(node, told),
        "profiles": profiles.cards(node),
        "may_probe": get_scope(request).is_admin and node.admin_state not in probes.CLOSED,
        "healths": DeviceHealth.values,
        "is_admin": get_scope(request).is_admin,
    }


def _ended(node: Node, told: Any) -> list[tuple[Attempt, bool]]:
    """The newest attempts that had rank 0 here and are over."""
    rows = (
        Attempt.objects.filter(node=node).exclude(state__in=ATTEMPT_LIVE).order_by("-ended_at")
        .select_related("job__run", "job__owner").defer("job__spec", "job__plan", "job__run__spec", "job__run__plan")
    )  # fmt: skip
    return [(attempt, told(attempt.job.team_id)) for attempt in rows[:ENDED_SHOWN]]


def _dialog(request: HttpRequest, node: Node, verb: Verb, form: VerbForm, status: int = 200) -> HttpResponse:
    found = occupants.on_node(node, get_scope(request).can_see_details)
    context = {
        "node": node,
        "verb": verb,
        "form": form,
        "policies": [(key, *texts) for key, texts in POLICIES.items()],
        "holders": found,
        "last_end": max((holder.ends_by for holder in found), default=None),
        "soon": timezone.now() + timedelta(seconds=60),
    }
    if request.headers.get("HX-Request"):  # which swaps in only what is called good
        return render(request, "nodes/_ask.html", context)
    return render(request, "nodes/ask.html", context, status=status)

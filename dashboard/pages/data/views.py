"""Data: built-in corpora and uploaded data sets, an upload, and one data set with what stands in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dashboard.access import get_scope
from dashboard.files.uploads import pieces_of
from dashboard.server.replies import CSV, json_reply, to_save
from engine.data import corpora, files
from jobs import datasets
from jobs.models import Dataset

DATASETS_LIMIT, RUNS_SHOWN, ROWS_SHOWN, REFUSED_SHOWN, CLASSES_SHOWN = 500, 20, 5, 200, 30


# The kind of a data set's lines -> the preset whose model reads them.
PRESET_OF = {"text": "demo", "pairs": "translation", "classes": "classification"}


@require_safe
def listing(request: HttpRequest) -> HttpResponse:
    found = get_scope(request).seen(Dataset).filter(archived_at=None)
    context = {
        "datasets": found.select_related("team", "owner")[:DATASETS_LIMIT],
        "corpora": [(corpus, corpus.absent()) for corpus in corpora.CORPORA],
        "may_write": get_scope(request).writable_teams().exists(),
    }
    return render(request, "data/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    """GET: the form. POST: the file's bytes as the body, all else in the address; answers where to go on."""
    team = get_scope(request).get_writable_team(request.GET.get("team"))
    if request.method != "POST":
        context = {
            "teams": get_scope(request).writable_teams(),
            "suffixes": files.SUFFIXES,
            "limit_bytes": settings.DATASET_LIMIT_BYTES,
        }
        return render(request, "data/upload.html", context)
    said = {name: request.GET.get(name, "") for name in ("name", "file_name", "licence")}
    try:
        made = datasets.take(team=team, owner=request.user, pieces=pieces_of(request), **said)
    except datasets.DatasetError as error:
        return json_reply({"problem": str(error), "field": error.field}, 422)
    return json_reply({"url": reverse("dataset", args=[made.id])})


@require_safe
def detail(request: HttpRequest, dataset_id: str) -> HttpResponse:
    return render(request, "data/detail.html", _of(request, get_scope(request).get(Dataset, dataset_id)))


@require_POST
def change(request: HttpRequest, dataset_id: str) -> HttpResponse:
    found = get_scope(request).get_writable(Dataset, dataset_id)
    said = {name: request.POST.get(name, "") for name in ("name", "licence", "note")}
    try:
        datasets.change(found, request.user, **said)
    except datasets.DatasetError as error:
        context = _of(request, found) | {"problem": error, "said": said}
        return render(request, "data/detail.html", context, status=422)
    return redirect("dataset", found.id)


@require_POST
def wish(request: HttpRequest, dataset_id: str, name: str) -> HttpResponse:
    """Keep a draft, throw it away, or delete what is there."""
    found = get_scope(request).get_writable(Dataset, dataset_id)
    ask, goes_to = WISHES[name]
    try:
        ask(found, request.user)
    except datasets.DatasetError as error:
        messages.error(request, str(error))
        return redirect("dataset", found.id)
    messages.success(request, DONE[name].format(name=found.name))
    return redirect(goes_to, found.id) if goes_to == "dataset" else redirect(goes_to)


WISHES: dict[str, tuple[Callable[..., None], str]] = {
    "keep": (datasets.keep, "dataset"), "discard": (datasets.discard, "data"), "delete": (datasets.delete, "data"),
}  # fmt: skip
DONE = {
    "keep": "{name} is ready: runs can train on it.",
    "discard": "The draft {name} is gone.",
    "delete": "The content of {name} is deleted. Runs that read it still name it.",
}


@require_safe
def refused(request: HttpRequest, dataset_id: str) -> HttpResponse:
    """Every refused line, to save."""
    found = get_scope(request).get(Dataset, dataset_id)
    reply = StreamingHttpResponse(datasets.as_csv(found), content_type=CSV)
    return to_save(reply, f"refused-{found.id}.csv")


def _train_address(found: Dataset) -> str:
    """The submit page with a model that reads such data."""
    changes = [f"data.corpus={corpora.DATASET_PREFIX}{found.id}"]
    if found.kind == "classes":
        changes.append(f"model.classes={max(2, len(found.statistics['classes']))}")
    preset = PRESET_OF.get(found.kind, "demo")
    return f"{reverse('submit')}?{urlencode({'preset': preset, 'set': changes}, doseq=True)}"


def _of(request: HttpRequest, found: Dataset) -> dict[str, Any]:
    runs = datasets.runs_of(found)
    classes = list(found.statistics.get("classes", {}).items())
    most = max((count for _, count in classes), default=0)
    return {
        "dataset": found,
        "corpus": f"{corpora.DATASET_PREFIX}{found.id}",
        "train_address": _train_address(found),
        "objectives": [one for one, kind in corpora.KIND_OF.items() if kind == found.kind],
        "rows": datasets.rows(found, ROWS_SHOWN),
        "refused": datasets.refused(found, REFUSED_SHOWN) if found.num_bad else [],
        "refused_left": max(0, found.num_bad - REFUSED_SHOWN),
        "classes": [(name, count, 100 * count / most) for name, count in classes[:CLASSES_SHOWN]],
        "classes_left": max(0, len(classes) - CLASSES_SHOWN),
        "runs": runs[:RUNS_SHOWN],
        "num_runs": runs.count(),
        "events": found.events.order_by("-id")[:RUNS_SHOWN],
        "may_write": get_scope(request).can_write(found),
        "said": {name: getattr(found, name) for name in ("name", "licence", "note")},
    }

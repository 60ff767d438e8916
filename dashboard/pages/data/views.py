"""Views of data: list of corpora and data sets, upload, data set page and actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from dashboard.access import get_scope
from dashboard.files.uploads import read_chunks
from dashboard.html.shown_rows import select_shown
from dashboard.server.replies import CSV, json_reply, to_save
from dashboard.server.requests import UserRequest
from engine.data import corpora, files
from jobs import datasets
from jobs.models import Dataset

DATASETS_SHOWN, RUNS_SHOWN, ROWS_SHOWN, REFUSED_SHOWN, CLASSES_SHOWN = 500, 20, 5, 200, 30


# Kind of a data set's lines -> preset with a model for them
PRESET_BY_KIND = {"text": "demo", "pairs": "translation", "classes": "classification"}


@require_safe
def listing(request: UserRequest) -> HttpResponse:
    found = get_scope(request).seen(Dataset).filter(archived_at=None)
    context = {
        "datasets": select_shown(
            found.select_related("team", "owner"), DATASETS_SHOWN, request.GET, "datasets"
        ),
        "corpora": [(corpus, corpus.missing_reason()) for corpus in corpora.CORPORA],
        "may_write": get_scope(request).writable_teams().exists(),
    }
    return render(request, "data/list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: UserRequest) -> HttpResponse:
    """GET: show the form. POST: store the body as a file, with the details in the query; return the next page."""
    team = get_scope(request).get_writable_team(request.GET.get("team"))
    if request.method != "POST":
        context = {
            "teams": get_scope(request).writable_teams(),
            "suffixes": files.SUFFIXES,
            "compressions": files.COMPRESSIONS,
            "limit_bytes": settings.DATASET_LIMIT_BYTES,
        }
        return render(request, "data/upload.html", context)
    details = {name: request.GET.get(name, "") for name in ("name", "file_name", "licence", "fields")}
    try:
        made = datasets.store_upload(team=team, owner=request.user, chunks=read_chunks(request), **details)
    except datasets.DatasetError as error:
        return json_reply({"problem": str(error), "field": error.field}, 422)
    return json_reply({"url": reverse("dataset", args=[made.id])})


@require_safe
def detail(request: UserRequest, dataset_id: str) -> HttpResponse:
    context = _build_context(request, get_scope(request).get(Dataset, dataset_id))
    return render(request, "data/detail.html", context)


@require_safe
def packing(request: UserRequest, dataset_id: str) -> HttpResponse:
    """Show the first packed sequences with the documents and the trained tokens of each."""
    found = get_scope(request).get(Dataset, dataset_id)
    path, context = request.GET.get("tokenizer", "").strip(), request.GET.get("context", "1024").strip()
    shown: dict[str, Any] = {
        "dataset": found,
        "path": path,
        "tokens": context,
        "preview": None,
        "problem": None,
    }
    try:
        if found.kind not in datasets.PACKED_KINDS:
            raise datasets.DatasetError("Texts with labels are not packed: a sequence holds one of them.")
        length = int(context) if context.isascii() and context.isdigit() and len(context) < 9 else 0
        shown["preview"] = datasets.preview(found, datasets.PackingQuestion(path, length))
    except datasets.DatasetError as error:
        shown["problem"] = error
    return render(request, "data/packing.html", shown, status=422 if shown["problem"] else 200)


@require_POST
def change(request: UserRequest, dataset_id: str) -> HttpResponse:
    found = get_scope(request).get_writable(Dataset, dataset_id)
    details = {name: request.POST.get(name, "") for name in ("name", "licence", "note")}
    try:
        datasets.change_details(found, request.user, **details)
    except datasets.DatasetError as error:
        context = _build_context(request, found) | {"problem": error, "details": details}
        return render(request, "data/detail.html", context, status=422)
    return redirect("dataset", found.id)


@require_POST
def act(request: UserRequest, dataset_id: str, name: str) -> HttpResponse:
    """Accept or discard a draft, or delete the content of a data set."""
    found = get_scope(request).get_writable(Dataset, dataset_id)
    action, next_page = ACTIONS[name]
    try:
        action(found, request.user)
    except datasets.DatasetError as error:
        messages.error(request, str(error))
        return redirect("dataset", found.id)
    messages.success(request, DONE[name].format(name=found.name))
    return redirect(next_page, found.id) if next_page == "dataset" else redirect(next_page)


ACTIONS: dict[str, tuple[Callable[..., None], str]] = {
    "keep": (datasets.accept_draft, "dataset"),
    "discard": (datasets.discard_draft, "data"),
    "delete": (datasets.delete_content, "data"),
}
DONE = {
    "keep": "{name} is ready: runs can train on it.",
    "discard": "The draft {name} is discarded.",
    "delete": "The content of {name} is deleted. Runs that read it still name it.",
}


@require_safe
def refused(request: UserRequest, dataset_id: str) -> StreamingHttpResponse:
    """Export all refused lines as CSV."""
    found = get_scope(request).get(Dataset, dataset_id)
    reply = StreamingHttpResponse(datasets.refused_csv(found), content_type=CSV)
    return to_save(reply, f"refused-{found.id}.csv")


def _train_address(found: Dataset) -> str:
    """Return the address of the submit page with a model for this data set."""
    changes = [f"data.corpus={corpora.DATASET_PREFIX}{found.id}"]
    if found.kind in ("chats", "preference"):
        changes += ["data.objective=chat", "data.packing=true"]
    if found.kind == "classes":
        changes.append(f"model.classes={max(2, len(found.statistics['classes']))}")
    preset = PRESET_BY_KIND.get(found.kind, "demo")
    return f"{reverse('submit')}?{urlencode({'preset': preset, 'set': changes}, doseq=True)}"


def _build_context(request: UserRequest, found: Dataset) -> dict[str, Any]:
    runs = datasets.runs_of(found)
    classes = list(found.statistics.get("classes", {}).items())
    most = max((count for _, count in classes), default=0)
    return {
        "dataset": found,
        "corpus": f"{corpora.DATASET_PREFIX}{found.id}",
        "train_address": _train_address(found),
        "objectives": corpora.list_objectives(found.kind),
        "rows": datasets.first_rows(found, ROWS_SHOWN),
        "refused": datasets.refused_lines(found, REFUSED_SHOWN) if found.num_bad else [],
        "refused_left": max(0, found.num_bad - REFUSED_SHOWN),
        "classes": [(name, count, 100 * count / most) for name, count in classes[:CLASSES_SHOWN]],
        "classes_left": max(0, len(classes) - CLASSES_SHOWN),
        "runs": select_shown(runs, RUNS_SHOWN, request.GET, "runs"),
        "events": select_shown(found.events.order_by("-id"), RUNS_SHOWN, request.GET, "events"),
        "may_write": get_scope(request).can_write(found),
        "details": {name: getattr(found, name) for name in ("name", "licence", "note")},
    }

"""Log of a rank: its end, a search in it, and its download."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from dashboard.access import get_scope
from dashboard.files.downloads import FileDownload
from dashboard.html.responses import answer
from dashboard.server.replies import text_reply, to_save
from jobs.attempts import log_search, logs
from jobs.models import Job, Run

LINES = 400
SEARCH_CHARS = 200


@require_safe
def show(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show the last lines of one rank's log, or the lines that contain `q`."""
    run, job = _get_job(request, run_id)
    rank, attempt = _parse_whole(request.GET.get("rank")) or 0, _parse_whole(request.GET.get("attempt"))
    text = request.GET.get("q", "")[:SEARCH_CHARS]
    context: dict[str, Any] = {"run": run, "job": job, "text": text}
    file = logs.find_file(job, rank, attempt) if text else None
    if file is not None:
        return render(request, "runs/_log.html", context | {"matches": log_search.search_file(file, text)})
    tail = logs.tail(job, rank, lines=logs.LINES_LIMIT if text else LINES, attempt=attempt)
    if text and tail.lines:
        context["matches"] = log_search.search_tail(tail, text)
    return render(request, "runs/_log.html", context | {"tail": tail})


@require_safe
def download(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """Send the whole log; of a log on another machine the end that its agent has uploaded."""
    run, job = _get_job(request, run_id)
    rank, attempt = _parse_whole(request.GET.get("rank")) or 0, _parse_whole(request.GET.get("attempt"))
    name = f"{run.id}-rank{rank}"
    file = logs.find_file(job, rank, attempt)
    if file is not None:
        return FileDownload(file, f"{name}.log", file.stat().st_size)
    tail = logs.tail(job, rank, lines=logs.LINES_LIMIT, attempt=attempt)
    if not tail.lines:
        sentence = tail.reason or f"Rank {rank} has no output."
        return answer(request, sentence, reverse("run-logs", args=[run.id]), is_refused=True)
    ending = "-end.log" if tail.is_cut else ".log"
    return to_save(text_reply("\n".join([*tail.lines, ""]), 200), f"{name}{ending}")


def _get_job(request: HttpRequest, run_id: str) -> tuple[Run, Job]:
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    return run, run.job


def _parse_whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else None

"""Runs: list, details, metrics, logs."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router

from dashboard.access import get_scope
from dashboard.api.jobs import page_url
from dashboard.api.shapes import LogOut, MetricsOut, Refusal, RunDetail, RunPage
from dashboard.charts.metric_search import FIND_CHARS, build_matcher
from dashboard.server import replies
from engine.request_limits import OFFSET, PAGE_ROWS
from engine.telemetry.metrics import BY_NAME
from jobs import runs, series
from jobs.attempts import logs
from jobs.models import Run
from jobs.series.metric_units import get_unit

router = Router(tags=["runs"])
# Columns of a row of the list; the specs and plans of a hundred jobs are megabytes.
ROW_COLUMNS = ("id", "external_id", "job_id", "name", "job__state", "state", "job__step", "team__slug",
               "owner__username", "created_at", "project__name")  # fmt: skip
METRICS_LIMIT = 100_000
ID_PLACEHOLDER = "0" * 12  # replaced by the ids in addresses


@router.get("/runs", response=RunPage)
def listing(
    request: HttpRequest,
    state: str | None = None,
    filter: str = "",
    sort: str = "",
    limit: int = Query(100, ge=1, le=PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> HttpResponse:
    """Newest first, or sorted by `sort` (loss, -last(loss), param:model.layers); runs without a value come last.
    `filter`: as on the page of runs, such as loss < 2.1 and model.layers >= 8 and tag:baseline."""
    scope = get_scope(request)
    asker = runs.Asker(scope.seen(Run), scope.name, timezone.now())
    field, is_descending = runs.order_from_text(sort, asker)
    found = runs.filtered(asker.runs, filter, asker)
    if state:
        found = found.filter(Q(job__state=state) | Q(job__isnull=True, state=state))
    ordered = runs.ordered(found, field, is_descending=is_descending)
    ids, total = runs.page_of(ordered, offset, limit, is_narrowed=bool(filter.strip() or state))
    next_offset = offset + limit if offset + len(ids) < total else None
    page = {"items": serialize_runs(ids), "total": total, "next_offset": next_offset}
    # Has the form of RunPage; validating a hundred rows against the schema took a quarter of the request.
    return replies.json_reply(page)


@router.get("/runs/{run_id}", response={200: RunDetail, 404: Refusal})
def one(request: HttpRequest, run_id: str) -> dict[str, Any]:
    run = get_scope(request).get(Run, run_id)
    return serialize_runs([run.id])[0] | {"spec": run.spec, "plan": run.plan, "missing": run.missing}


@router.get("/runs/{run_id}/metrics", response={200: MetricsOut, 404: Refusal})
def metrics(
    request: HttpRequest,
    run_id: str,
    find: str = Query("", max_length=FIND_CHARS),
    limit: int | None = Query(None, ge=1, le=METRICS_LIMIT),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> HttpResponse:
    """The series of the run by name, each with its newest value, and every missing reading with its reason.
    `find`: those whose names contain each of these words. `limit`: as many, from `offset` on; by default all."""
    run = get_scope(request).get(Run, run_id)
    found = series.names(run.id, build_matcher(find) if find.strip() else None)
    shown = found[offset : None if limit is None else offset + limit]
    reply = {"metrics": [_metric(name) for name in shown], "missing": run.missing, "total": len(found)}
    return replies.json_reply(
        reply
    )  # has the form of MetricsOut; validating 20,000 names took most of the request


@router.get("/runs/{run_id}/logs", response={200: LogOut, 404: Refusal})
def log(
    request: HttpRequest,
    run_id: str,
    rank: int = Query(0, ge=0, le=100_000),
    tail: int = Query(200, ge=1, le=logs.LINES_LIMIT),
    attempt: int | None = Query(None, ge=1),
) -> dict[str, Any]:
    """The last lines that a rank printed, by default in the newest attempt."""
    run = get_scope(request).get(Run, run_id)
    if run.job is None:
        raise Http404
    return dataclasses.asdict(logs.tail(run.job, rank, tail, attempt))


def serialize_runs(ids: list[str]) -> list[dict[str, Any]]:
    """The runs as RunOut, in this order, with their newest values. The caller has checked access."""
    newest, url = series.newest(ids), page_url(ID_PLACEHOLDER)
    rows = {}
    for row in Run.objects.filter(id__in=ids).values(*ROW_COLUMNS):
        run_id = row["id"]
        rows[run_id] = {
            "id": run_id,
            "external_id": row["external_id"],
            "job": row["job_id"],
            "name": row["name"],
            "state": row["job__state"] or row["state"] or None,
            "step": row["job__step"],
            "team": row["team__slug"],
            "owner": row["owner__username"],
            "created_at": row["created_at"].isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "project": row["project__name"],
            "metrics": series.plain(newest.get(run_id, {})),
            "url": url.replace(ID_PLACEHOLDER, run_id),
        }
    return [rows[run_id] for run_id in ids if run_id in rows]


def _metric(name: series.SeriesName) -> dict[str, Any]:
    row = BY_NAME.get(name.metric)
    is_finite = math.isfinite(name.last_value)
    return {
        "metric": name.metric,
        "source": name.source,
        "unit": get_unit(name.metric),
        "label": row.label if row else name.metric,
        "count": name.count,
        "last": name.last_value if is_finite else None,
        "last_kind": None if is_finite else series.non_finite_name(name.last_value),
        "last_step": name.last_step,
        "last_at": name.last_at,
    }

"""Runs: list, details, metrics, logs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Query, Router
from ninja.errors import HttpError

from dashboard.access import get_scope
from dashboard.api.jobs import page_url
from dashboard.api.paging import page
from dashboard.api.run_shapes import MetricsOut, RunDetail, RunPage, SummaryOut
from dashboard.api.shapes import LogOut, Refusal
from dashboard.charts.metric_search import FIND_CHARS, build_matcher
from dashboard.server import replies
from engine.request_limits import FILE_PAGE_ROWS, OFFSET, PAGE_ROWS
from engine.telemetry.metrics import BY_NAME
from jobs import runs, series
from jobs.attempts import logs
from jobs.models import Run, RunMetric, RunParam, RunTag
from jobs.series.metric_units import get_unit

router = Router(tags=["runs"])
# Columns of a row of the list; the specs and plans of a hundred jobs are megabytes.
ROW_COLUMNS = ("id", "external_id", "job_id", "name", "job__state", "state", "job__step", "team__slug",
               "owner__username", "created_at", "project__name", "started_at", "ended_at", "job__started_at",
               "job__ended_at", "last_seen_at", "archived_at", "origin", "note", "parent_id")  # fmt: skip
PARTS: dict[str, Any] = {"params": RunParam, "tags": RunTag}  # of a run, in lists only if they are asked for
METRICS_LIMIT = 100_000
ID_PLACEHOLDER = "0" * 12  # replaced by the ids in addresses


@router.get("/runs", response=RunPage)
def listing(
    request: HttpRequest,
    state: str | None = None,
    filter: str = "",
    sort: str = "",
    include: str = "",
    limit: int = Query(100, ge=1, le=PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> HttpResponse:
    """Newest first, or sorted by `sort` (loss, -last(loss), param:model.layers); runs without a value come last.
    `include`: params, tags, or both with a comma. `filter`: as on the page of runs, such as loss < 2.1 and
    model.layers >= 8 and tag:baseline."""
    scope = get_scope(request)
    asker = runs.Asker(scope.seen(Run), scope.name, timezone.now())
    field, is_descending = runs.order_from_text(sort, asker)
    found = runs.filtered(asker.runs, filter, asker)
    if state:
        found = found.filter(Q(job__state=state) | Q(job__isnull=True, state=state))
    ordered = runs.ordered(found, field, is_descending=is_descending)
    ids, total = runs.page_of(ordered, offset, limit, is_narrowed=bool(filter.strip() or state))
    next_offset = offset + limit if offset + len(ids) < total else None
    reply = {
        "items": serialize_runs(ids, _parse_include(include)),
        "total": total,
        "next_offset": next_offset,
    }
    # Has the form of RunPage; validating a hundred rows against the schema took a quarter of the request.
    return replies.json_reply(reply)


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


@router.get("/runs/{run_id}/summary", response={200: SummaryOut, 404: Refusal})
def summary(
    request: HttpRequest,
    run_id: str,
    limit: int = Query(1000, ge=1, le=FILE_PAGE_ROWS),
    offset: int = Query(0, ge=0, le=OFFSET),
) -> dict[str, Any]:
    """Last, minimum, maximum and mean of each metric of the run itself, by name."""
    run = get_scope(request).get(Run, run_id)
    found = page(run.metrics.order_by("key"), limit, offset)
    return found | {"metrics": [_summary(row) for row in found.pop("items")]}


def serialize_runs(ids: list[str], parts: Iterable[str] = tuple(PARTS)) -> list[dict[str, Any]]:
    """The runs as RunOut, in this order, with their newest values. The caller has checked access."""
    newest, url = series.newest(ids), page_url(ID_PLACEHOLDER)
    pairs: dict[str, dict[str, dict[str, str]]] = {part: {} for part in parts}
    for part, of_runs in pairs.items():
        for run_id, key, value in (
            PARTS[part].objects.filter(run__in=ids).values_list("run_id", "key", "value")
        ):
            of_runs.setdefault(run_id, {})[key] = value
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
            "created_at": _format_time(row["created_at"]),
            "started_at": _format_time(row["job__started_at"] or row["started_at"]),
            "ended_at": _format_time(row["job__ended_at"] if row["job_id"] else row["ended_at"]),
            "last_seen_at": _format_time(row["last_seen_at"]),
            "archived_at": _format_time(row["archived_at"]),
            "origin": row["origin"],
            "project": row["project__name"],
            "parent": row["parent_id"],
            "note": row["note"],
            "metrics": series.plain(newest.get(run_id, {})),
            "url": url.replace(ID_PLACEHOLDER, run_id),
            **{part: of_runs.get(run_id, {}) for part, of_runs in pairs.items()},
        }
    return [rows[run_id] for run_id in ids if run_id in rows]


def _parse_include(text: str) -> list[str]:
    """Raises HttpError for an unknown part."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in PARTS]:
        raise HttpError(422, f"include: '{unknown[0][:50]}' is none of {', '.join(PARTS)}.")
    return names


def _format_time(at: datetime | None) -> str | None:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z") if at else None


def _summary(row: RunMetric) -> dict[str, Any]:
    is_finite = math.isfinite(row.value)
    return {
        "metric": row.key,
        "last": row.value if is_finite else None,
        "last_kind": None if is_finite else series.non_finite_name(row.value),
        "last_step": row.last_step,
        "min": row.low,
        "max": row.high,
        "mean": row.mean,
        "num_finite": row.num_finite,
        "count": row.count,
    }


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

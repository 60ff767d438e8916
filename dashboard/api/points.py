"""Points over HTTP. A plain view with msgspec: typed serialisation of every number would cost ten times the write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST
from ninja.errors import AuthenticationError, HttpError

from dashboard.api import bodies
from dashboard.callers import identify
from dashboard.server import replies
from engine.request_limits import POINTS_BODY_BYTES
from jobs.models import Run
from jobs.tracking import external_runs, points

PATH = "/api/v1/runs/{run_id}/points"
LOG_IN = "Log in, or send a token: Authorization: Bearer ..."
NOT_FOUND = "There is no such thing here, or not for you."
REFUSALS = {
    401: "No token, or none that is known",
    404: "No such run, or not for the caller to write to",
    409: "The run is a job's",
    413: "More than 16 MiB, folded or unfolded",
    415: "Neither JSON nor msgpack, or an unknown encoding",
    422: "Not a delivery; the sentence names the place",
    503: "The database is away; send it again",
}

Reply = tuple[int, dict[str, Any]]


@csrf_exempt  # a session's token is checked by its own door, as in the rest of the API
@login_not_required
@require_POST
def take(request: HttpRequest, run_id: str) -> HttpResponse:
    """Add points to a run, each batch exactly once."""
    try:
        scope = identify(request)
    except AuthenticationError as error:
        return replies.refusal(401, error.message)
    except HttpError as error:
        return replies.refusal(error.status_code, error.message)
    if scope is None:
        return replies.refusal(401, LOG_IN)
    body = request.read(POINTS_BODY_BYTES + 1)
    headers = request.headers
    kind, encoding = headers.get("Content-Type", ""), headers.get("Content-Encoding", "")
    status, reply = taken(lambda: scope.get_writable(Run, run_id), body, kind, encoding)
    return replies.json_reply(reply, status)


def taken(find_run: Callable[[], Run], body: bytes, content_type: str, encoding: str) -> Reply:
    """Read, check and store one delivery; `find_run` raises Http404. The same for both doors."""
    try:
        run = find_run()  # first: a stranger learns nothing
        is_msgpack = bodies.is_msgpack(content_type)
        delivery = points.decode(bodies.unfolded(body, encoding), is_msgpack=is_msgpack)
        batches = points.check(delivery)
        points.store(run, delivery.stream, batches)
        external_runs.touch(run)
    except bodies.BodyError as error:
        return error.status, replies.refusal_body(str(error))
    except points.PointsError as error:
        return 422, replies.refusal_body(str(error))
    except points.NotTracked as error:
        return 409, replies.refusal_body(str(error))
    except (Http404, IntegrityError):
        return 404, replies.refusal_body(NOT_FOUND)
    return 200, {"stream": delivery.stream, "taken": sorted(batches)}


def described() -> tuple[dict[str, Any], dict[str, Any]]:
    """For openapi.json: the operation, and the shapes it names."""
    (shape,), shapes = msgspec.json.schema_components(
        [points.PointsIn], ref_template="#/components/schemas/{name}"
    )
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    said = {"stream": {"type": "string"}, "taken": {"type": "array", "items": {"type": "integer"}}}
    return {
        "post": {
            "operationId": "points",
            "summary": "Add points to a run",
            "description": "Each batch is taken exactly once, in whatever order and however often it comes. "
            "The answer comes when they are on disk. The body may be folded (Content-Encoding: gzip or zstd).",
            "tags": ["tracking"],
            "security": [{"Token": []}, {"Session": []}],
            "parameters": [
                {
                    "in": "path",
                    "name": "run_id",
                    "required": True,
                    "schema": {"type": "string", "title": "Run Id"},
                }
            ],
            "requestBody": {
                "required": True,
                "content": {kind: {"schema": shape} for kind in ("application/json", bodies.MSGPACK[0])},
            },
            "responses": {
                "200": {
                    "description": "Taken",
                    "content": {"application/json": {"schema": {"type": "object", "properties": said}}},
                },
                **{str(code): {"description": why, "content": refusal} for code, why in REFUSALS.items()},
            },
        }
    }, shapes

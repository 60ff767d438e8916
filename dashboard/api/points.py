"""Points endpoint.

A plain view with msgspec: typed serialisation of each number would cost ten times the write.
"""

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

from dashboard.api import compressed_bodies
from dashboard.callers import identify
from dashboard.server import replies
from dashboard.server.json_bodies import BadBody, refuse_repeated_keys
from engine.request_limits import POINTS_BODY_BYTES
from jobs.models import Run
from jobs.people.storage import QuotaReached
from jobs.tracking import external_runs, points

PATH = "/api/v1/runs/{run_id}/points"
LOG_IN = "Log in, or send a token: Authorization: Bearer ..."
NOT_FOUND = "Not found, or not accessible to you."
REFUSALS = {
    401: "No token, or an unknown one",
    404: "No such run, or none that the caller may write",
    409: "The run belongs to a job",
    413: "More than 16 MiB, compressed or decompressed",
    415: "Neither JSON nor msgpack, or an unknown encoding",
    429: "Too many deliveries in a minute, or no room left for the team; send it again later",
    422: "An invalid delivery; the sentence names the place",
    503: "The database does not respond; send it again",
}

Reply = tuple[int, dict[str, Any]]


@csrf_exempt  # identify() checks the CSRF token of a session
@login_not_required
@require_POST
def add_points(request: HttpRequest, run_id: str) -> HttpResponse:
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
    status, reply = store_delivery(lambda: scope.get_writable(Run, run_id), body, kind, encoding)
    return replies.json_reply(reply, status)


def store_delivery(find_run: Callable[[], Run], body: bytes, content_type: str, encoding: str) -> Reply:
    """Read, check and store one delivery, for Django and for the fast path; `find_run` raises Http404."""
    try:
        run = find_run()  # first, so that a stranger learns nothing from other errors
        is_msgpack = compressed_bodies.is_msgpack(content_type)
        body = compressed_bodies.decompress(body, encoding)
        delivery = points.decode(body, is_msgpack=is_msgpack)
        if not is_msgpack:
            refuse_repeated_keys(body)
        batches = points.check(delivery)
        left_out = points.store(run, delivery.stream, batches)
        external_runs.touch(run)
    except compressed_bodies.BodyError as error:
        return error.status, replies.refusal_body(str(error))
    except (points.PointsError, BadBody) as error:
        return 422, replies.refusal_body(str(error))
    except points.NotTracked as error:
        return 409, replies.refusal_body(str(error))
    except QuotaReached as full:
        return 429, replies.refusal_body(str(full))
    except (Http404, IntegrityError):
        return 404, replies.refusal_body(NOT_FOUND)
    reply = {"stream": delivery.stream, "taken": sorted(batches)}
    return 200, reply | ({"detail": left_out} if left_out else {})


def described() -> tuple[dict[str, Any], dict[str, Any]]:
    """The operation and its schemas for openapi.json."""
    (shape,), shapes = msgspec.json.schema_components(
        [points.PointsIn], ref_template="#/components/schemas/{name}"
    )
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    properties = {"stream": {"type": "string"}, "taken": {"type": "array", "items": {"type": "integer"}}}
    properties["detail"] = {"type": "string", "description": "Why some series were left out"}
    return {
        "post": {
            "operationId": "points",
            "summary": "Add points to a run",
            "description": "Each batch is stored exactly once, in any order and however often it is sent. "
            "The reply comes when all are on disk. The body may be compressed (Content-Encoding: gzip or zstd).",
            "tags": ["tracking"],
            "security": [{"BearerToken": []}, {"BrowserSession": []}],
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
                "content": {
                    kind: {"schema": shape} for kind in ("application/json", compressed_bodies.MSGPACK[0])
                },
            },
            "responses": {
                "200": {
                    "description": "Stored",
                    "content": {"application/json": {"schema": {"type": "object", "properties": properties}}},
                },
                **{str(code): {"description": why, "content": refusal} for code, why in REFUSALS.items()},
            },
        }
    }, shapes

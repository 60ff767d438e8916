"""API object: routers, authentication, and replies to errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Router
from ninja.errors import AuthenticationError, HttpError, ValidationError

from dashboard.api import (
    accounting,
    accuracy,
    artefacts,
    checkpoints,
    clocks,
    datasets,
    exports,
    jobs,
    ledgers,
    media,
    nodes,
    points,
    pools,
    projects,
    queue,
    series,
    sweeps,
    templates,
    traces,
    tracking,
    verdicts,
    versions,
)
from dashboard.api.parser import BoundedParser
from dashboard.api.points import LOG_IN, NOT_FOUND
from dashboard.callers import CREDENTIALS, identify
from dashboard.server import replies
from dashboard.server.json_bodies import BadBody
from engine.spec.spec import SpecError
from jobs.datasets import DatasetError
from jobs.people.storage import QuotaReached
from jobs.runs import FieldError, FilterError
from jobs.series import TooMuch
from jobs.states.jobs import StateError
from jobs.tracking.artefacts import ArtefactError, ArtefactMissing, TooBig
from jobs.tracking.external_runs import TrackingError
from jobs.tracking.params import ParamError
from jobs.tracking.points import NotTracked, PointsError
from jobs.tracking.projects import ProjectError


def _for_callers_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Authentication for openapi.json, which django-ninja leaves open."""

    @wraps(view.func if hasattr(view, "func") else view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            is_known = identify(request) is not None
        except (AuthenticationError, HttpError) as error:
            return api.on_exception(request, error)
        return (
            view(request, *args, **kwargs) if is_known else api.on_exception(request, AuthenticationError())
        )

    return guarded


class DescribedApi(NinjaAPI):
    """Adds the plain view of points to openapi.json."""

    def get_openapi_schema(self, **how: Any) -> Any:
        schema = super().get_openapi_schema(**how)
        operation, shapes = points.described()
        schema["paths"][points.PATH] = operation
        schema["components"]["schemas"] |= shapes
        return schema


api = DescribedApi(
    title="Fourwalls",
    version="1",
    description="Jobs, runs, their series and logs, pools and accounting. Log in, or send a token as Bearer.",
    urls_namespace="api",
    auth=CREDENTIALS,
    parser=BoundedParser(),
    docs_url=None,
    docs_decorator=_for_callers_only,
)
# The last route, so that an unknown path gets a reply in JSON too.
unknown = Router()


@unknown.api_operation(["GET", "POST", "PUT", "PATCH", "DELETE"], "/{path:route}", include_in_schema=False)
def nothing(request: HttpRequest, route: str) -> None:
    raise Http404


MODULES = (
    jobs,
    checkpoints,
    queue,
    projects,
    tracking,
    clocks,
    media,
    versions,
    series,
    artefacts,
    traces,
    ledgers,
    verdicts,
    exports,
    pools,
    nodes,
    sweeps,
    templates,
    datasets,
    accounting,
    accuracy,
)
for router in (*(module.router for module in MODULES), unknown):
    api.add_router("", router)


def urls() -> tuple[list[Any], str, str]:
    """The routes, exempt from the redirect to the login page: they reply 401."""
    patterns, app_name, namespace = api.urls
    for pattern in patterns:
        assert pattern.callback is not None  # ninja gives every pattern a view
        pattern.callback = login_not_required(pattern.callback)
    return patterns, app_name, namespace


@api.exception_handler(Http404)
def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    return replies.refusal(404, NOT_FOUND)


@api.exception_handler(AuthenticationError)
def not_known(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return replies.refusal(401, LOG_IN if error.message == "Unauthorized" else error.message)


@api.exception_handler(HttpError)
def refused(request: HttpRequest, error: HttpError) -> HttpResponse:
    cause = error.__cause__
    return replies.refusal(error.status_code, str(cause) if isinstance(cause, BadBody) else error.message)


@api.exception_handler(StateError)
def not_now(request: HttpRequest, error: StateError) -> HttpResponse:
    return replies.refusal(409, str(error))


@api.exception_handler(TooMuch)
def too_much(request: HttpRequest, error: TooMuch) -> HttpResponse:
    return replies.refusal(422, str(error), [{"field": "points", "message": str(error), "fix": {}}])


@api.exception_handler(NotTracked)
def not_yours_to_write(request: HttpRequest, error: NotTracked) -> HttpResponse:
    return replies.refusal(409, str(error))


@api.exception_handler(ArtefactMissing)
def artefact_missing(request: HttpRequest, error: ArtefactMissing) -> HttpResponse:
    return replies.refusal(410, str(error))


@api.exception_handler(TooBig)
def too_big(request: HttpRequest, error: TooBig) -> HttpResponse:
    return replies.refusal(413, str(error))


@api.exception_handler(QuotaReached)
def no_room(request: HttpRequest, error: QuotaReached) -> HttpResponse:
    response = replies.refusal(429, str(error))
    response["Retry-After"] = "60"
    return response


@api.exception_handler(ArtefactError)
@api.exception_handler(PointsError)
@api.exception_handler(TrackingError)
@api.exception_handler(ProjectError)
@api.exception_handler(DatasetError)
def not_a_run(request: HttpRequest, error: ValueError) -> HttpResponse:
    return replies.refusal(422, str(error))


@api.exception_handler(ParamError)
def not_a_param(request: HttpRequest, error: ParamError) -> HttpResponse:
    return replies.refusal(409, str(error))


@api.exception_handler(SpecError)
def not_a_spec(request: HttpRequest, error: SpecError) -> HttpResponse:
    problems = [{"field": p.field, "message": p.message, "fix": dict(p.fix)} for p in error.problems]
    return replies.refusal(422, str(error), problems)


@api.exception_handler(FilterError)
def not_a_filter(request: HttpRequest, error: FilterError) -> HttpResponse:
    message = f"filter, character {error.start + 1}: {error}"
    return replies.refusal(422, message, [{"field": "filter", "message": str(error), "fix": {}}])


@api.exception_handler(FieldError)
def not_a_column(request: HttpRequest, error: FieldError) -> HttpResponse:
    return replies.refusal(422, f"sort: {error}", [{"field": "sort", "message": str(error), "fix": {}}])


@api.exception_handler(ValidationError)
def not_a_request(request: HttpRequest, error: ValidationError) -> HttpResponse:
    problems = [
        {"field": ".".join(str(part) for part in one["loc"][1:]), "message": one["msg"], "fix": {}}
        for one in error.errors
    ]
    message = "; ".join(f"{one['field']}: {one['message']}" for one in problems)
    return replies.refusal(422, message, problems)

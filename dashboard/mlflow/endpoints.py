"""Endpoints: authentication, checked requests, replies and MLflow's errors."""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable
from functools import wraps
from typing import Any

import msgspec
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import RequestDataTooBig
from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from dashboard.access import Scope
from dashboard.callers import UNKNOWN_TOKEN, scope_from_token, token_from_header
from dashboard.mlflow.errors import MlflowError, invalid, not_found
from dashboard.server.json_bodies import BadBody, refuse_repeated_keys
from dashboard.server.replies import json_reply
from dashboard.token_scopes import find_refusal
from engine.request_limits import BODY_BYTES, values_error, whole_number
from jobs.models import Project, Run
from jobs.people.storage import QuotaReached
from jobs.tracking.artefacts import ArtefactError
from jobs.tracking.external_runs import TrackingError
from jobs.tracking.params import ParamError
from jobs.tracking.projects import NameTaken, ProjectError
from jobs.tracking.saved_models import SavedModelError

log = logging.getLogger(__name__)
DEFAULT = "0"  # the id of the team's default experiment
NUL = b"\\u0000"  # in JSON
REFUSALS = (ParamError, ProjectError, TrackingError, ArtefactError, SavedModelError)


def get_run(scope: Scope, run_id: str) -> Run:
    """Raises MlflowError."""
    run = scope.find(Run, run_id)
    if run is None:
        raise not_found(f"Run with id={run_id} not found")
    return run


def get_active_run(scope: Scope, run_id: str) -> Run:
    """A run that can be written. Raises MlflowError for an archived run too."""
    run = get_run(scope, run_id)
    if run.archived_at:
        raise invalid(f"The run {run_id} must be in the 'active' state. Current state is deleted.")
    return run


def get_project(scope: Scope, experiment_id: str) -> Project | None:
    """The project behind an experiment; None for the team's default. Raises MlflowError."""
    if experiment_id == DEFAULT:
        return None
    number = whole_number(experiment_id)
    found = None if number is None else scope.find(Project, number)
    if found is None:
        raise not_found(f"No Experiment with id={experiment_id} exists")
    return found


def endpoint(
    method: str, shape: type | None = None, *, writes: bool = False
) -> Callable[..., Callable[..., Any]]:
    """A view of the function below it. The function takes the caller's scope, the checked request (with shape=None the
    raw one) and the parts of the path; it returns an object for the JSON reply, or a reply of its own."""

    def made(function: Callable[..., Any]) -> Callable[..., HttpResponseBase]:
        read = _reader(method, shape)

        @csrf_exempt
        @login_not_required
        @wraps(function)
        def view(request: HttpRequest, **parts: str) -> HttpResponseBase:
            try:
                scope = _scope(request)
                if request.method != method:
                    raise MlflowError(
                        "METHOD_NOT_ALLOWED", f"{request.path} takes {method}, not {request.method}."
                    )
                if writes and not scope.member_team_ids:
                    raise MlflowError(
                        "PERMISSION_DENIED", f"{scope.name} may read team {scope.team} but not write."
                    )
                return _answer(function(scope, read(request), **parts))
            except MlflowError as refused:
                return refused.response()
            except NameTaken as taken:
                return MlflowError("RESOURCE_ALREADY_EXISTS", str(taken)).response()
            except QuotaReached as full:
                return MlflowError("REQUEST_LIMIT_EXCEEDED", str(full)).response()
            except REFUSALS as error:
                return invalid(str(error)).response()
            except OperationalError as error:
                if connection.vendor == "sqlite" and "locked" not in str(error):
                    raise
                log.exception(
                    "The database did not respond to %s; the client is asked to try again.", request.path
                )
                return MlflowError("TEMPORARILY_UNAVAILABLE", "The database is busy. Try again.").response()

        view.method = method  # type: ignore[attr-defined]
        return view

    return made


def by_method(*views: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """One view for several endpoints of the same path, chosen by method."""
    by_method = {view.method: view for view in views}  # type: ignore[attr-defined]

    @csrf_exempt
    @login_not_required
    def view(request: HttpRequest, **parts: str) -> HttpResponseBase:
        return by_method.get(request.method or "", views[0])(request, **parts)

    return view


def _scope(request: HttpRequest) -> Scope:
    """MLflow's clients send a Bearer token, or Basic with the token as the password. Raises MlflowError."""
    token = token_from_header(request.headers.get("Authorization", ""))
    if token is None:
        raise MlflowError(
            "UNAUTHENTICATED", "Set MLFLOW_TRACKING_TOKEN to a token: manage.py token NAME makes one."
        )
    scope = scope_from_token(token)
    if scope is None:
        raise MlflowError("UNAUTHENTICATED", UNKNOWN_TOKEN)
    if refusal := find_refusal(scope.token_scope, request.method or "", request.path):
        raise MlflowError("PERMISSION_DENIED", refusal)
    return scope


def _reader(method: str, shape: type | None) -> Callable[[HttpRequest], Any]:
    if shape is None:
        return lambda request: request
    if method == "GET":
        lists = [
            field.encode_name
            for field in msgspec.structs.fields(shape)
            if typing.get_origin(field.type) is list
        ]
        return lambda request: _read_query(request, shape, lists)
    # Not strict: numbers may be strings, as in protobuf's JSON.
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(shape, strict=False)

    def read(request: HttpRequest) -> Any:
        body = _body(request) or b"{}"
        found = _checked(lambda: decoder.decode(body))
        if NUL in body and (broken := values_error(_checked(lambda: msgspec.json.decode(body)))):
            raise invalid(broken)
        _checked(lambda: refuse_repeated_keys(body))  # as protobuf's JSON reader does
        return found

    return read


def _read_query(request: HttpRequest, shape: type, lists: list[str]) -> Any:
    values = {key: request.GET.getlist(key) if key in lists else request.GET[key] for key in request.GET}
    if broken := values_error(values):
        raise invalid(broken)
    return _checked(lambda: msgspec.convert(values, shape, strict=False))


def _body(request: HttpRequest) -> bytes:
    try:
        return request.body
    except RequestDataTooBig:
        raise invalid(
            f"A request has at most {BODY_BYTES:,} bytes. Please split it up and try again."
        ) from None


def _checked(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise invalid(
            f"Invalid value for parameter '{path.strip('.`') or 'request'}' supplied: {reason}"
        ) from None
    except BadBody as error:
        raise MlflowError("BAD_REQUEST", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MlflowError("BAD_REQUEST", f"The body is not JSON: {error}") from None


def _answer(given: Any) -> HttpResponseBase:
    if isinstance(given, HttpResponseBase):
        return given
    return json_reply({} if given is None else given)

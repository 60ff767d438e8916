"""Callers of the API: a browser session with its CSRF token, or a team's token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from ninja.errors import AuthenticationError, HttpError
from ninja.security import HttpBearer, SessionAuth

from dashboard import access
from jobs.models import Dataset, Job, Run, Sweep, Team, Template
from jobs.people import accounts


@dataclass(frozen=True)
class Caller:
    user: User
    team: Team | None = None  # of the token; None for a session, which acts in all teams of its user

    def jobs(self) -> QuerySet[Job]:
        found = access.jobs_of(self.user).select_related("team", "owner", "pool", "run")
        return found.filter(team=self.team) if self.team else found

    def runs(self) -> QuerySet[Run]:
        found = access.runs_of(self.user).select_related("team", "owner", "job", "project")
        return found.filter(team=self.team) if self.team else found

    def runs_open(self) -> QuerySet[Run]:
        """Those that it may name by id: beside its own, all for the session of an admin."""
        rows = access.runs_open_to(self.user).select_related("team", "owner", "job", "project")
        return self.runs() if self.team else rows

    def sweeps(self) -> QuerySet[Sweep]:
        found = access.sweeps_of(self.user).select_related("team", "owner")
        return found.filter(team=self.team) if self.team else found

    def sweep(self, sweep_id: str) -> Sweep:
        return _one(self.sweeps().filter(id=sweep_id))

    def writable_sweep(self, sweep_id: str) -> Sweep:
        found = self.sweep(sweep_id)
        access.writable_team(self.user, found.team.slug)
        return found

    def templates(self) -> QuerySet[Template]:
        found = access.templates_of(self.user).select_related("team")
        return found.filter(team=self.team) if self.team else found

    def datasets(self) -> QuerySet[Dataset]:
        found = access.datasets_of(self.user).select_related("team")
        return found.filter(team=self.team) if self.team else found

    def dataset(self, dataset_id: str) -> Dataset:
        return _one(self.datasets().filter(id=dataset_id))

    def writable_dataset(self, dataset_id: str) -> Dataset:
        found = self.dataset(dataset_id)
        access.writable_team(self.user, found.team.slug)
        return found

    def template(self, template_id: str) -> Template:
        return _one(self.templates().filter(id=template_id))

    def writable_template(self, template_id: str) -> Template:
        found = self.template(template_id)
        access.writable_team(self.user, found.team.slug)
        return found

    def team_ids(self) -> set[int]:
        return {self.team.id} if self.team else set(access.teams_of(self.user).values_list("id", flat=True))

    @cached_property
    def can_see_details(self) -> Callable[[int], bool]:
        """Whether it may be told whose a job is, by its team's id."""
        return {self.team.id}.__contains__ if self.team else access.can_see_details(self.user)

    def must_be_admin(self) -> str:
        """The name under which an admin acts; 404 for everybody else."""
        access.admin_only(self.user)
        return self.user.get_username()

    def job(self, job_id: str) -> Job:
        rows = access.jobs_open_to(self.user).select_related("team", "owner", "pool", "run")
        return _one((self.jobs() if self.team else rows).filter(id=job_id))

    def run(self, run_id: str) -> Run:
        return _one(self.runs_open().filter(id=run_id))

    def writable_team(self, slug: str | None) -> Team:
        """404 where the caller may only look, or a token is of another team."""
        if self.team and slug not in (None, self.team.slug):
            raise Http404
        return access.writable_team(self.user, self.team.slug if self.team else slug)

    def writable_run(self, run_id: str) -> Run:
        run = self.run(run_id)
        access.writable_team(self.user, run.team.slug)
        return run

    def writable_job(self, job_id: str) -> Job:
        job = self.job(job_id)
        if self.team or not access.is_admin(self.user):
            access.writable_team(self.user, job.team.slug)
        return job


class Token(HttpBearer):
    """Stands before the session: a token that is not valid ends the request, whatever cookies come with it."""

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        found = accounts.user_of_token(token)
        if found is None:
            raise AuthenticationError(message="This token is not known, or it has expired.")
        return Caller(*found)


class Csrf(CsrfViewMiddleware):
    """Gives the reason back; Django's own would render a whole page that nobody sees."""

    def _reject(self, request: HttpRequest, reason: str) -> str:  # type: ignore[override]
        return reason


class Session(SessionAuth):
    def _get_key(self, request: HttpRequest) -> str | None:
        check = Csrf(lambda request: HttpResponse())
        check.process_request(request)
        if reason := check.process_view(request, None, (), {}):
            raise HttpError(403, f"{reason} Send it as the header X-CSRFToken, or use a token of the API.")
        return request.COOKIES.get(self.param_name)

    def authenticate(self, request: HttpRequest, key: str | None) -> Caller | None:
        return Caller(request.user) if request.user.is_authenticated else None  # type: ignore[arg-type]


DOORS = (Token(), Session())


def known(request: HttpRequest) -> Caller | None:
    """Who calls a view that is no operation of the API. Raises AuthenticationError, HttpError."""
    return next((who for door in DOORS if (who := door(request))), None)


def caller(request: HttpRequest) -> Caller:
    return request.auth  # type: ignore[attr-defined]


def _one(rows):
    found = rows.first()
    if found is None:
        raise Http404
    return found

"""The only doors to a team's objects: a stranger gets 404, never 403.

An admin answers for the hardware and for every team's jobs on it: opens each of them, while lists stay those of their
own teams.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from jobs.models import Dataset, Job, Membership, Report, Run, SavedView, Sweep, Team, Template
from jobs.models.people import Role

User = AbstractBaseUser | AnonymousUser
Owned = TypeVar("Owned", Run, SavedView, Report, Sweep)


def teams_of(user: User) -> QuerySet[Team]:
    return Team.objects.filter(memberships__user_id=user.pk).order_by("name")


def teams_written_by(user: User) -> QuerySet[Team]:
    """Teams in which the user may submit, cancel and retry."""
    writers = Membership.objects.filter(user_id=user.pk).exclude(role=Role.VIEWER)
    return Team.objects.filter(id__in=writers.values("team_id")).order_by("name")


def is_admin(user: User) -> bool:
    return bool(getattr(user, "is_staff", False))


def admin_only(user: User) -> None:
    """404 for everybody else, as for a stranger."""
    if not is_admin(user):
        raise Http404


def can_see_details(user: User) -> Callable[[int], bool]:
    """Whether the user may be told whose a job is, by its team's id."""
    return set(known_teams(user).values_list("id", flat=True)).__contains__


def writes_in(user: User) -> Callable[[int], bool]:
    """Whether the user may cancel and retry a job, by its team's id."""
    return written_ids(user).__contains__


def written_ids(user: User) -> set[int]:
    """The teams on whose jobs the user may act."""
    found = Team.objects.all() if is_admin(user) else teams_written_by(user)
    return set(found.values_list("id", flat=True))


def known_teams(user: User) -> QuerySet[Team]:
    """The teams whose jobs the user may be told of."""
    return Team.objects.order_by("name") if is_admin(user) else teams_of(user)


def jobs_open_to(user: User) -> QuerySet[Job]:
    """Which may be opened by their address."""
    return Job.objects.all() if is_admin(user) else jobs_of(user)


def runs_open_to(user: User) -> QuerySet[Run]:
    return Run.objects.all() if is_admin(user) else runs_of(user)


def jobs_of(user: User) -> QuerySet[Job]:
    return Job.objects.filter(team__memberships__user_id=user.pk)


def runs_of(user: User) -> QuerySet[Run]:
    return Run.objects.filter(team__memberships__user_id=user.pk)


def sweeps_of(user: User) -> QuerySet[Sweep]:
    return Sweep.objects.filter(team__memberships__user_id=user.pk)


def sweep_for(user: User, sweep_id: str) -> Sweep:
    found = Sweep.objects.all() if is_admin(user) else sweeps_of(user)
    return _one(found.select_related("team", "owner"), sweep_id)


def writable_sweep(user: User, sweep_id: str) -> Sweep:
    return _writable(user, sweep_for(user, sweep_id))


def templates_of(user: User) -> QuerySet[Template]:
    return Template.objects.filter(team__memberships__user_id=user.pk)


def template_for(user: User, template_id: str) -> Template:
    return _one(templates_of(user).select_related("team"), template_id)


def writable_template(user: User, template_id: str) -> Template:
    found = template_for(user, template_id)
    writable_team(user, found.team.slug)
    return found


def datasets_of(user: User) -> QuerySet[Dataset]:
    return Dataset.objects.filter(team__memberships__user_id=user.pk)


def dataset_for(user: User, dataset_id: str) -> Dataset:
    return _one(datasets_of(user).select_related("team", "owner"), dataset_id)


def writable_dataset(user: User, dataset_id: str) -> Dataset:
    found = dataset_for(user, dataset_id)
    writable_team(user, found.team.slug)
    return found


def job_for(user: User, job_id: str) -> Job:
    return _one(jobs_open_to(user).select_related("team", "owner", "pool", "run"), job_id)


def run_for(user: User, run_id: str) -> Run:
    return _one(
        runs_open_to(user).select_related("team", "owner", "job", "job__pool", "project", "parent"), run_id
    )


def writable_team(user: User, slug: str | None = None) -> Team:
    """The team a user submits for: the named one, else the first. 404 where the user may only look."""
    writers = Membership.objects.filter(user_id=user.pk).exclude(role=Role.VIEWER).select_related("team")
    if slug:
        writers = writers.filter(team__slug=slug)
    membership = writers.order_by("id").first()
    if membership is None:
        raise Http404
    return membership.team


def writable_job(user: User, job_id: str) -> Job:
    job = job_for(user, job_id)
    if not is_admin(user):
        writable_team(user, job.team.slug)
    return job


def writable_run(user: User, run_id: str) -> Run:
    return _writable(user, run_for(user, run_id))


def view_for(user: User, view_id: str) -> SavedView:
    return _one(SavedView.objects.filter(team__in=known_teams(user)).select_related("team", "owner"), view_id)


def writable_view(user: User, view_id: str) -> SavedView:
    return _writable(user, view_for(user, view_id))


def reports_of(user: User) -> QuerySet[Report]:
    return Report.objects.filter(team__memberships__user_id=user.pk).select_related("team", "owner")


def report_for(user: User, report_id: str) -> Report:
    return _one(Report.objects.filter(team__in=known_teams(user)).select_related("team", "owner"), report_id)


def writable_report(user: User, report_id: str) -> Report:
    return _writable(user, report_for(user, report_id))


def _writable(user: User, found: Owned) -> Owned:
    """404 where the user may only look."""
    if not writes_in(user)(found.team_id):
        raise Http404
    return found


def writes_runs_in(user: User) -> set[int]:
    """Ids of the teams on whose runs the user may write."""
    return set(teams_written_by(user).values_list("id", flat=True))


def writable_runs(user: User) -> QuerySet[Run]:
    """The runs whose names, tags and notes the user may write."""
    return runs_of(user).filter(team__in=teams_written_by(user))


def _one(rows, object_id: str):
    found = rows.filter(id=object_id).first()
    if found is None:
        raise Http404
    return found

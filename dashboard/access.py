"""The only doors to a team's objects: a stranger gets 404, never 403."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet
from django.http import Http404

from jobs.models import Job, Membership, Run, Team
from jobs.models.people import Role

User = AbstractBaseUser | AnonymousUser


def teams_of(user: User) -> QuerySet[Team]:
    return Team.objects.filter(memberships__user_id=user.pk).order_by("name")


def teams_written_by(user: User) -> QuerySet[Team]:
    """Teams in which the user may submit, cancel and retry."""
    writers = Membership.objects.filter(user_id=user.pk).exclude(role=Role.VIEWER)
    return Team.objects.filter(id__in=writers.values("team_id")).order_by("name")


def jobs_of(user: User) -> QuerySet[Job]:
    return Job.objects.filter(team__memberships__user_id=user.pk)


def runs_of(user: User) -> QuerySet[Run]:
    return Run.objects.filter(team__memberships__user_id=user.pk)


def job_for(user: User, job_id: str) -> Job:
    return _one(jobs_of(user).select_related("team", "owner", "pool"), job_id)


def run_for(user: User, run_id: str) -> Run:
    return _one(runs_of(user).select_related("team", "owner", "job", "job__pool"), run_id)


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
    writable_team(user, job.team.slug)
    return job


def _one(rows, object_id: str):
    found = rows.filter(id=object_id).first()
    if found is None:
        raise Http404
    return found

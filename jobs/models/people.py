"""Teams, memberships, API tokens, login links and last page queries."""

from __future__ import annotations

from importlib import import_module

from django.conf import settings
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class Team(models.Model):
    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=50, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    # Limits of storage; empty: those of the settings, 0: none
    artefact_limit_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    dataset_limit_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    points_limit = models.PositiveBigIntegerField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    VIEWER = "viewer"
    MEMBER = "member"
    LEAD = "lead"


class Membership(models.Model):
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "team"], name="one_membership_per_user_and_team")
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team} as {self.role}"


class TokenScope(models.TextChoices):
    """What a token may do, each more than the one before, and never more than its user."""

    READ = "read", "Read"
    LOG = "log", "Read and log runs"
    SUBMIT = "submit", "Read, log runs, submit jobs"
    ADMIN = "admin", "Everything I may do"


class ApiToken(models.Model):
    """A user's key for scripts, valid in one team. Only its SHA-256 is stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=10, choices=TokenScope.choices, default=TokenScope.ADMIN)
    prefix = models.CharField(max_length=12)  # shown in lists to distinguish tokens
    sha256 = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.prefix}... ({self.name})"


class Invitation(models.Model):
    """A link that makes one person a member of a team, before it expires. Only its SHA-256 is stored."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    sha256 = models.CharField(max_length=64, unique=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_by = models.CharField(max_length=150, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)


class AuditEntry(models.Model):
    """One line of the audit log, chained to the one before by its hash (jobs.people.audit)."""

    at = models.DateTimeField(db_index=True)
    actor = models.CharField(max_length=150)
    address = models.CharField(max_length=64, blank=True)
    code = models.CharField(max_length=40)
    target = models.CharField(max_length=200, blank=True)
    values = models.JSONField(default=dict)
    previous_sha256 = models.CharField(max_length=64, blank=True)
    sha256 = models.CharField(max_length=64)


class LastQuery(models.Model):
    """The last query of a user on one page; the page opens with it again."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    page = models.CharField(max_length=40)
    query = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "page"], name="one_last_query_per_page")]


class UserSession(AbstractBaseSession):
    """A session of Django, with its user as a column, so that all of one person can be found and ended."""

    user_id = models.IntegerField(null=True, db_index=True)

    @classmethod
    def get_session_store_class(cls) -> type:
        store: type = import_module(settings.SESSION_ENGINE).SessionStore  # imports this module
        return store


class LoginLink(models.Model):
    """A link that logs one user in, once, before it expires. Only its SHA-256 is stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    sha256 = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

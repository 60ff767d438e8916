"""Comments on runs, saved views of pages, and reports."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from jobs.ids import new_id
from jobs.models.people import Team
from jobs.models.runs import Run


class Comment(models.Model):
    """Markdown text by one user about one run."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="comments")
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]


class SavedPage(models.TextChoices):
    """Pages whose address contains their whole state."""

    RUNS = "runs"
    COMPARE = "compare"
    TRADEOFFS = "tradeoffs"


class SavedView(models.Model):
    """A named page state, saved for the whole team. Its short link is /v/<id>/."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="saved_views")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="saved_views")
    page = models.CharField(max_length=10, choices=SavedPage.choices)
    name = models.CharField(max_length=100)
    query = models.TextField(blank=True)  # of the address, without the question mark
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "page", "name"], name="view_names_are_unique_in_a_team")
        ]

    def __str__(self) -> str:
        return self.name


class Report(models.Model):
    """Text with live charts. `version` counts changes, so that two writers do not overwrite each other."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="reports")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="reports")
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    version = models.PositiveIntegerField(default=1)
    changed_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-changed_at"]

    def __str__(self) -> str:
        return self.title

"""Named specs of a team, and their events."""

from __future__ import annotations

from django.db import models

from jobs.ids import new_id
from jobs.models.people import Team


class Template(models.Model):
    """A named spec that new jobs can start from. Written only by jobs.queue.templates."""

    id = models.CharField(primary_key=True, max_length=12, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="templates")
    name = models.CharField(max_length=60)
    description = models.CharField(max_length=300, blank=True)
    spec = models.JSONField()
    version = models.PositiveIntegerField(default=1)  # incremented with every change
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    changed_by = models.CharField(max_length=150)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="one_template_per_team_and_name")
        ]

    def __str__(self) -> str:
        return self.name


class TemplateEvent(models.Model):
    """One change of a template. Append-only; kept after the template is deleted."""

    template = models.ForeignKey(Template, on_delete=models.SET_NULL, related_name="events", null=True)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="template_events")
    at = models.DateTimeField(auto_now_add=True)
    actor = models.CharField(max_length=150)  # a user name
    text = models.TextField()

    class Meta:
        ordering = ["id"]

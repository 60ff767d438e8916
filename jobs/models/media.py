"""Media, output and environment of runs that scripts log."""

from __future__ import annotations

from django.db import models

from jobs.models.runs import Run

KEY_CHARS = 250


class MediaEntry(models.Model):
    """The media of one name and step: files of the run by their paths, or values that are drawn. Written only by
    jobs.tracking.media."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="media")
    source = models.CharField(max_length=80, default="run")
    key = models.CharField(max_length=KEY_CHARS)  # as a metric's name
    kind = models.CharField(max_length=20)  # one of jobs.tracking.media.KINDS
    step = models.BigIntegerField()
    at = models.FloatField()  # unix seconds, by the writer's clock
    items = models.JSONField(default=list)

    class Meta:
        ordering = ["key", "step"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "key", "source", "step"], name="one_media_entry_per_run_key_and_step"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.key} {self.step}"


class ConsolePart(models.Model):
    """Lines that a writer printed, from line `first` on; a later part replaces what earlier ones hold from there on."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="console_parts")
    source = models.CharField(max_length=80)
    first = models.BigIntegerField()
    num_lines = models.IntegerField()
    text = models.TextField()

    class Meta:
        ordering = ["first"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "source", "first"], name="one_console_part_per_run_source_and_line"
            )
        ]

    def __str__(self) -> str:
        return f"{self.run_id} {self.source} {self.first}"


class RunEnvironment(models.Model):
    """What a run was started with: command, code, packages, host, as its writer reports it."""

    run = models.OneToOneField(Run, on_delete=models.CASCADE, related_name="environment")
    facts = models.JSONField(default=dict)
    packages = models.JSONField(default=list)  # 'name==version'

    def __str__(self) -> str:
        return f"{self.run_id}"

"""Clocks and hosts that the writers of logged runs report."""

from __future__ import annotations

from django.db import models

from jobs.models.runs import Run


class RunClock(models.Model):
    """The clock of one writer, as it last reported it. Written only by jobs.tracking.clocks."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="clocks")
    stream = models.CharField(max_length=80)
    attempt = models.IntegerField()
    began_at = models.FloatField()  # unix seconds, by the writer's clock
    at = models.FloatField()  # of the report
    seconds = models.JSONField(
        default=dict
    )  # CLOCK_PARTS -> seconds; they add up to the time from began_at to at
    named = models.JSONField(default=dict)  # seconds of phases with names of the script's own
    steps = models.BigIntegerField(default=0)  # without those that raised
    failed_steps = models.BigIntegerField(default=0)
    is_final = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "stream"], name="one_clock_per_run_and_stream")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.stream}"


class RunHost(models.Model):
    """One machine of a run, with the devices that are read there."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="hosts")
    name = models.CharField(max_length=80)
    facts = models.JSONField(default=dict)
    devices = models.JSONField(default=list)  # id, kind, name, index, memory_bytes, cores

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="one_row_per_run_and_host")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.name}"

"""What each team may have of a pool, and what each attempt has cost: shares and charges."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from jobs.models.cluster import Pool
from jobs.models.people import Team
from jobs.models.work import Attempt


class Share(models.Model):
    """A team's part in one pool. A team without a row has weight 1, no guarantee and no limit."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="shares")
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="shares")
    weight = models.FloatField(default=1.0, validators=[MinValueValidator(0.01)])
    guaranteed = models.PositiveIntegerField(default=0)  # devices
    borrowable = models.PositiveIntegerField(null=True, blank=True)  # devices beyond those; NULL: no limit
    monthly_budget_device_s = models.PositiveBigIntegerField(null=True, blank=True)  # NULL: no budget
    # Written by jobs.charges only.
    used_device_s = models.FloatField(default=0.0)  # decayed, as of used_at
    used_at = models.DateTimeField(null=True, editable=False)
    month = models.CharField(max_length=7, blank=True, editable=False)  # 2026-11: what month_device_s counts
    month_device_s = models.FloatField(default=0.0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "pool"], name="one_share_per_team_and_pool")]

    def __str__(self) -> str:
        return f"{self.team} in {self.pool}"


class Charge(models.Model):
    """The device-seconds that one ended attempt held within one month (UTC). Only ever added to."""

    attempt = models.ForeignKey(Attempt, on_delete=models.CASCADE, related_name="charges")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="charges")
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="charges")
    month = models.CharField(max_length=7)
    device_s = models.FloatField()
    wasted_device_s = models.FloatField()  # work after the last checkpoint of an attempt that did not succeed

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["attempt", "month"], name="one_charge_per_attempt_and_month")
        ]
        indexes = [models.Index(fields=["month", "pool", "team"])]

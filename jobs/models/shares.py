"""Teams' shares in pools, and charges of attempts."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models

from jobs.models.cluster import Pool
from jobs.models.people import Team
from jobs.models.work import Attempt


class Share(models.Model):
    """A team's share in one pool. A team without a row has weight 1, no guarantee and no limit."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="shares")
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="shares")
    weight = models.FloatField(default=1.0, validators=[MinValueValidator(0.01)])
    guaranteed = models.PositiveIntegerField(default=0)  # devices
    borrowable = models.PositiveIntegerField(null=True, blank=True)  # devices beyond those; NULL: no limit
    # Budgets of the team in the pool for one month (UTC). NULL: no budget.
    monthly_budget_device_s = models.PositiveBigIntegerField(null=True, blank=True)
    monthly_budget_j = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])
    monthly_budget_money = models.FloatField(null=True, blank=True, validators=[MinValueValidator(0)])
    # Written only by jobs.accounting.charges.
    used_device_s = models.FloatField(default=0.0)  # decayed to used_at
    used_at = models.DateTimeField(null=True, editable=False)
    month = models.CharField(
        max_length=7, blank=True, editable=False
    )  # 2026-11: the month of the next three columns
    month_device_s = models.FloatField(default=0.0)
    month_j = models.FloatField(default=0.0)  # measured
    month_money = models.FloatField(default=0.0)  # in the pool's currency

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team", "pool"], name="one_share_per_team_and_pool")]

    def __str__(self) -> str:
        return f"{self.team} in {self.pool}"


class Charge(models.Model):
    """Usage of one ended attempt on one day (UTC), at the prices when it ended. Append-only.

    NULL: not measured, or the pool has no price.
    """

    # NULL: its run was deleted for good; what it used stays on the team's account
    attempt = models.ForeignKey(Attempt, on_delete=models.SET_NULL, related_name="charges", null=True)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="charges")
    pool = models.ForeignKey(Pool, on_delete=models.CASCADE, related_name="charges")
    day = models.DateField()
    month = models.CharField(max_length=7)  # of that day
    device_s = models.FloatField()
    wasted_device_s = models.FloatField()  # work after the last checkpoint of an attempt that did not succeed
    energy_j = models.FloatField(null=True)
    energy_device_s = models.FloatField(default=0.0)  # part of device_s that energy_j covers
    unused_device_s = models.FloatField(null=True)  # held and measured as unused
    use_device_s = models.FloatField(default=0.0)  # part of device_s that unused_device_s covers
    price_per_device_hour = models.FloatField(null=True)
    tariff_per_kwh = models.FloatField(null=True)
    currency = models.CharField(max_length=3, blank=True)  # '' without a price
    device_money = models.FloatField(null=True)
    energy_money = models.FloatField(null=True)  # of the measured energy
    carbon_g = models.FloatField(null=True)  # estimate: measured energy x PUE x emissions per kWh

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["attempt", "day"], name="one_charge_per_attempt_and_day")
        ]
        indexes = [models.Index(fields=["month", "pool", "team"])]

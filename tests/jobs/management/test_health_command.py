"""`manage.py health`: a scheduler's heartbeat against the limit."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs.models import ComponentHeartbeat
from jobs.scheduler.loop import Scheduler

pytestmark = pytest.mark.django_db


def test_a_scheduler_that_ticks_is_healthy(capsys):
    Scheduler().tick()
    call_command("health")
    assert capsys.readouterr().out == "A scheduler works.\n"


@pytest.mark.parametrize("age_s", [None, 70, 100_000])
def test_no_heartbeat_within_the_limit_is_refused(age_s):
    if age_s is not None:
        at = timezone.now() - timedelta(seconds=age_s)
        ComponentHeartbeat.objects.create(component="scheduler", at=at)
    with pytest.raises(CommandError, match="No scheduler has completed its loop within 60 s"):
        call_command("health")


def test_the_limit_can_be_chosen(capsys):
    ComponentHeartbeat.objects.create(component="scheduler", at=timezone.now() - timedelta(seconds=70))
    call_command("health", "--limit", "120")
    assert "works" in capsys.readouterr().out

"""Unix seconds computed by the database, compared with datetimes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.epoch import Epoch
from jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("microsecond", [0, 1, 123_456, 500_000, 999_999])
def test_unix_seconds_agree_with_the_datetime(make_job, microsecond: int):
    at = datetime(2031, 2, 28, 23, 59, 59, microsecond, UTC)
    job = make_job()
    Job.objects.filter(id=job.id).update(queue_key=at)
    found = Job.objects.values_list(Epoch("queue_key"), flat=True).get(id=job.id)
    assert isinstance(found, float)
    assert abs(found - at.timestamp()) < 0.5e-6, "half a microsecond: two different times stay in order"


def test_a_time_that_is_not_known_is_none(make_job):
    job = make_job()
    assert Job.objects.values_list(Epoch("expected_start_at"), flat=True).get(id=job.id) is None

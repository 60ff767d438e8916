"""Cost of a sweep of 1,000 points: preview, submission, scheduler ticks and page."""

from __future__ import annotations

import time

import pytest
from django.urls import reverse

from jobs.models import Job, Run, RunMetric, Sweep
from jobs.sweeps import advance, sweep_actions

pytestmark = [pytest.mark.perf, pytest.mark.django_db]

POINTS = 1000


def cpu_s(body) -> float:
    began = time.process_time()
    body()
    return time.process_time() - began


def test_a_thousand_points(team, owner, make_spec, make_node, client, settings):
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}
    client.force_login(owner)
    make_node("a", devices=2)
    spec = make_spec(devices=1)
    values = {
        "strategy": "random", "count": POINTS, "parallel": POINTS, "metric": "loss",
        "vary": {"optimiser.learning_rate": "1e-5..1e-2 log", "model.dropout": "0..0.3"},
    }  # fmt: skip
    counted = cpu_s(lambda: sweep_actions.preview(spec=spec, values=values, team=team, owner=owner))
    submitted = cpu_s(lambda: sweep_actions.submit(spec=spec, values=values, team=team, owner=owner))
    sweep = Sweep.objects.get()
    looks = [cpu_s(lambda: advance.advance(sweep.id)) for _ in range(POINTS // advance.SUBMIT_BATCH + 1)]
    assert Job.objects.count() == POINTS == Run.objects.count()
    RunMetric.objects.bulk_create(
        RunMetric(run=run, key="loss", last=float(at), last_step=1, last_at_us=1)
        for at, run in enumerate(Run.objects.all())
    )
    address = reverse("sweep", args=[sweep.id])
    first, page = (cpu_s(lambda: client.get(address)) for _ in range(2))
    print(
        f"\n{POINTS} points, CPU s: counted {counted:.2f}, submitted {submitted:.2f} and {sum(looks):.2f} in "
        f"{len(looks)} looks of {max(looks):.2f} at the most; the page {page:.2f} ({first:.2f} at first)"
    )
    assert max(looks) < submitted

"""Accuracy page, its CSV file and API, and the forecasts on the page of a run."""

from __future__ import annotations

import csv
import io
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from jobs.models import Correction, Device, Forecast
from jobs.verdicts import forecasts
from tests.jobs.finished_jobs import MEASURED, add_profile, finish_job

pytestmark = pytest.mark.django_db

PAGE = "/accuracy/"
FP32 = "precision.dtype=fp32"


@pytest.fixture
def two_runs(node, make_job):
    """One with an uncorrected plan, and one whose plan the first had corrected; the second took 10 % longer."""
    add_profile(Device.objects.get(id="a-0"))
    runs = []
    for number, slower in enumerate((1.0, 1.1), start=1):
        job = make_job(FP32, name=f"run {number}")
        finish_job(job, {name: slower * value for name, value in MEASURED.items()})
        forecasts.judge_all()
        runs.append(job.run)
    return runs


def row_of(text: str, title: str) -> str:
    """The first table row with this title."""
    return next(row for row in text.split("<tr>") if re.search(rf">\s*{title}\s*</td>", row))


def test_without_runs_the_page_explains_itself(owner_browser):
    text = owner_browser.get(PAGE).text
    assert "No run has been judged yet" in text
    assert reverse("submit") in text


def test_errors_are_shown_with_and_without_corrections(owner_browser, two_runs):
    text = owner_browser.get(PAGE).text
    first, second = (Forecast.objects.get(run=run, field="step_s") for run in two_runs)
    assert second.raw == pytest.approx(first.point)
    step = row_of(text, "Step time")
    assert f"{1 - second.point / second.measured:.1%}".replace("%", " %") in step
    assert "n = 1" in " ".join(step.split())
    assert text.count('class="plot"') == 3  # memory, step time, throughput; no energy was measured
    assert f'href="/runs/{two_runs[0].id}/"' in text
    assert "Calibration</h2>" in text
    assert Correction.objects.get(phase="forward_s").n == 2


def test_errors_are_grouped_by_device_number_format_and_version(owner_browser, two_runs):
    text = owner_browser.get(PAGE, {"by": "field,device,dtype"}).text
    assert "cpu share</td>" in text
    assert "fp32</td>" in text
    assert "Forward</td>" in owner_browser.get(PAGE, {"phases": "1"}).text
    only = owner_browser.get(PAGE, {"field": "step_s", "device": "cpu share"}).text
    assert only.count('class="plot"') == 1
    assert "Nothing to compare here" in owner_browser.get(PAGE, {"field": "energy_j"}).text


@pytest.mark.parametrize("query", [{"field": "nonsense"}, {"by": "owner"}, {"by": ","}])
def test_an_unknown_field_or_group_is_not_found(owner_browser, query):
    assert owner_browser.get(PAGE, query).status_code == 404


def test_a_stranger_sees_errors_without_names_of_runs(stranger_browser, two_runs):
    answer = stranger_browser.get(PAGE)
    assert "2 runs judged" in answer.text
    assert "another team&#x27;s run" in answer.text
    listed = stranger_browser.get("/accuracy/csv/").text
    figures = stranger_browser.get("/api/v1/accuracy/figures").text
    for text in (answer.text, listed, figures):
        for secret in ("run 1", "run 2", two_runs[0].id, two_runs[1].id):
            assert secret not in text


def test_the_file_holds_every_figure(owner_browser, two_runs):
    rows = list(csv.DictReader(io.StringIO(owner_browser.get("/accuracy/csv/").text)))
    assert len(rows) == 6
    found = next(row for row in rows if row["run"] == two_runs[0].id and row["field"] == "step_s")
    assert float(found["measured"]) == pytest.approx(0.1)
    assert float(found["error"]) == pytest.approx(float(found["point"]) / 0.1 - 1)
    assert (found["learnt_from"], found["unit"]) == ("0", "s")


def test_the_api_has_the_same_errors_and_figures(owner_browser, two_runs):
    lines = owner_browser.get("/api/v1/accuracy", {"by": "field,device"}).json()["lines"]
    step = next(line for line in lines if line["keys"]["field"] == "step_s")
    assert (step["n"], step["n_calibrated"], step["keys"]["device"]) == (2, 1, "cpu share")
    second = Forecast.objects.get(run=two_runs[1], field="step_s")
    assert step["median_error_calibrated"] == pytest.approx(abs(second.point / second.measured - 1))
    assert step["median_error_uncalibrated"] > step["median_error_calibrated"]
    page = owner_browser.get("/api/v1/accuracy/figures", {"limit": 2}).json()
    assert (len(page["items"]), page["next_offset"]) == (2, 2)
    assert owner_browser.get("/api/v1/accuracy", {"by": "owner"}).status_code == 422
    profile = owner_browser.get("/api/v1/profiles").json()["items"][0]
    assert (profile["name"], profile["standing"]) == ("cpu share", "measured")


def test_twice_the_runs_take_the_same_number_of_queries(owner_browser, two_runs, make_job):
    def count() -> int:
        with CaptureQueriesContext(connection, ) as seen:  # fmt: skip
            owner_browser.get(PAGE)
        return len(seen)

    count()  # what is looked up once for a session
    before = count()
    for number in range(2):
        finish_job(make_job(FP32, name=f"more {number}"))
    forecasts.judge_all()
    assert count() == before


def test_the_page_of_a_run_shows_predicted_and_measured_figures(owner_browser, two_runs, make_job):
    text = owner_browser.get(f"/runs/{two_runs[0].id}/performance/").text
    assert "Predicted and measured" in text
    section = text[text.index('id="predicted"') :]
    assert "100 ms" in section  # the measured step
    assert "medians of 30 steady steps" in section
    assert "energy counter" in section
    waiting = make_job(FP32, name="waiting")
    assert "Predicted and measured" not in owner_browser.get(f"/runs/{waiting.run.id}/performance/").text


def test_a_figure_that_was_not_predicted_has_the_reason(owner_browser, node, make_job):
    job = finish_job(make_job())
    forecasts.judge_all()
    section = owner_browser.get(f"/runs/{job.run.id}/performance/").text
    assert "not predicted" in section
    assert "not been probed" in section


def test_cases_are_counted_with_the_unseen_ones(owner_browser, two_runs):
    """Both runs have one configuration, so half of the figures are unseen."""
    text = owner_browser.get(PAGE).text
    assert "Published GPU configurations that ran" in text
    row = " ".join(row_of(text, "Predicted and measured figures").split())
    assert '<td class="right">6</td> <td class="right">3</td>' in row
    assert "n = 1" in " ".join(row_of(text, "Memory").split())
    line = owner_browser.get("/api/v1/accuracy", {"by": "field"}).json()["lines"][0]
    assert (line["n"], line["n_unseen"]) == (2, 1)

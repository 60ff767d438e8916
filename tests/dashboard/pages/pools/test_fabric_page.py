"""The pages of a fabric test: submitted with what matters only, drawn while it runs, fitted at its end."""

from __future__ import annotations

import pytest
from django.urls import reverse

from jobs.models import Job
from jobs.states.jobs import AttemptState
from tests.dashboard.conftest import fields_of
from tests.jobs.finished_jobs import finish_fabric_test

pytestmark = pytest.mark.django_db


def page_of(job: Job) -> str:
    return reverse("run", args=[job.run.id])


def test_it_is_submitted_from_the_form(owner_browser, make_spec, node):
    answer = owner_browser.post(reverse("submit"), fields_of(make_spec("kind=fabric_test", devices=2)))
    job = Job.objects.get()
    assert answer.url == page_of(job)
    assert job.spec["kind"] == "fabric_test"


def test_the_form_opens_with_a_change_of_the_address_and_says_what_is_measured_links(owner_browser, node):
    text = owner_browser.get(reverse("submit"), {"set": ["kind=fabric_test", "parallel.data=2"]}).text
    assert "Measures the links between 2 devices" in text
    assert "1 KiB to 16 MiB" in text
    assert owner_browser.get(reverse("submit"), {"set": "no.such=1"}).status_code == 404
    assert owner_browser.get(reverse("submit"), {"set": "kind"}).status_code == 404


def test_before_the_first_size_it_says_what_it_waits_for(owner_browser, fabric_job):
    text = owner_browser.get(page_of(fabric_job())).text
    assert "Nothing measured yet" in text
    assert "It waits for its devices." in text
    assert "Training loss" not in text


def test_its_page_has_the_chart_the_fits_and_the_bytes(owner_browser, fabric_job):
    job = finish_fabric_test(fabric_job())
    for path in (page_of(job), reverse("run-part", args=[job.run.id, "links"])):
        text = owner_browser.get(path).text
        assert "All-reduce, parameter server" in text
        assert text.count("<polyline") == 8
        assert "40 µs" in text
        assert "1.86 GiB/s" in text
        assert (
            "16 MiB <span" in text
        )  # what a ring of two sends of the largest message, counted and by the formula
        assert "The backend moves these bytes itself" in text
    assert "send_far" not in text


def test_one_that_ended_too_early_says_why_nothing_is_fitted(owner_browser, fabric_job):
    job = finish_fabric_test(fabric_job(), num_sizes=2, to=AttemptState.FAILED)
    assert "It takes three sizes" in owner_browser.get(page_of(job)).text


def test_a_stranger_sees_none_of_it_and_a_training_run_has_no_links(
    stranger_browser, owner_browser, fabric_job, make_job
):
    job = finish_fabric_test(fabric_job())
    assert stranger_browser.get(reverse("run-part", args=[job.run.id, "links"])).status_code == 404
    other = make_job()
    assert owner_browser.get(reverse("run-part", args=[other.run.id, "links"])).status_code == 404

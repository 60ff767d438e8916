"""Cloning: the submit page filled from a run's spec."""

from __future__ import annotations

from django.urls import reverse

from jobs.models import Job, Run
from tests.dashboard.conftest import fields_of


def test_the_form_begins_with_the_spec_of_the_run(owner_browser, make_job):
    run = make_job("model.layers=3", "seed=41").run
    answer = owner_browser.get(reverse("submit"), {"from": run.id})
    assert 'value="41"' in answer.text
    assert "layers: 3" in answer.text
    assert run.id in answer.text


def test_a_clone_with_a_change_is_a_job_of_its_own(owner_browser, make_job, make_spec):
    origin = make_job("model.layers=3")
    owner_browser.post(reverse("submit"), fields_of(make_spec("model.layers=3", devices=2), seed="5"))
    clone = Job.objects.exclude(id=origin.id).get()
    assert clone.spec == origin.spec | {"seed": 5}


def test_a_team_mate_may_clone(browser_of, team_mate, make_job):
    run = make_job().run
    assert browser_of(team_mate).get(reverse("submit"), {"from": run.id}).status_code == 200


def test_a_stranger_cannot_read_a_spec_by_cloning(stranger_browser, make_job):
    run = make_job().run
    assert stranger_browser.get(reverse("submit"), {"from": run.id}).status_code == 404


def test_a_run_that_was_logged_without_a_spec_of_ours_cannot_be_cloned(owner_browser, owner, team):
    run = Run.objects.create(team=team, owner=owner, name="logged", spec={"lr": 1})
    assert owner_browser.get(reverse("submit"), {"from": run.id}).status_code == 404

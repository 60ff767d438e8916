"""Cloning: the submit page filled from a run's spec."""

from __future__ import annotations

from django.urls import reverse

from engine.spec.spec import parse
from jobs.models import Job, Membership, Run
from tests.dashboard.conftest import fields_of
from tests.dashboard.page_text import collapse, read_run_page


def test_the_form_starts_with_the_spec_of_the_run(owner_browser, make_job):
    run = make_job("model.layers=3", "seed=41").run
    answer = owner_browser.get(reverse("submit"), {"from": run.id})
    assert 'value="41"' in answer.text
    assert "layers: 3" in answer.text
    assert run.id in answer.text


def test_a_clone_with_a_change_is_a_new_job(owner_browser, make_job, make_spec):
    origin = make_job("model.layers=3")
    owner_browser.post(reverse("submit"), fields_of(make_spec("model.layers=3", devices=2), seed="5"))
    clone = Job.objects.exclude(id=origin.id).get()
    assert clone.spec == origin.spec | {"seed": 5}


def test_the_form_shows_the_differences_from_the_run(owner_browser, make_job):
    run = make_job("seed=41").run
    data = fields_of(parse(run.spec), seed="5") | {"origin": f"run:{run.id}"}
    answer = owner_browser.post(reverse("submit-check"), data).json()["differs"]
    assert "1 field differs from run" in answer and f"?from={run.id}" in answer
    assert "<del>41</del> → <ins>5</ins>" in answer
    untouched = owner_browser.get(reverse("submit"), {"from": run.id}).text
    assert "No changes from run" in untouched


def test_a_clone_keeps_its_lineage_and_its_page_shows_the_changes(owner_browser, make_job, make_spec):
    run = make_job("seed=41").run
    data = fields_of(make_spec(devices=2), seed="5") | {"origin": f"run:{run.id}"}
    owner_browser.post(reverse("submit"), data)
    clone = Job.objects.exclude(id=run.job_id).get()
    assert clone.cloned_from == run
    page = collapse(owner_browser.get(reverse("run", args=[clone.run.id])).text)
    assert f'cloned from <a href="{reverse("run", args=[run.id])}">tiny</a>' in page
    spec = collapse(owner_browser.get(reverse("run-spec", args=[clone.run.id])).text)
    assert "<del>41</del> → <ins>5</ins>" in spec


def test_the_origin_is_hidden_from_users_without_access(
    owner_browser, owner, other_team, stranger_browser, make_job, make_spec
):
    """Somebody in two teams clones from one into the other."""
    Membership.objects.create(user=owner, team=other_team)
    run = make_job("seed=41", name="secret").run
    data = fields_of(make_spec(devices=2), seed="5") | {"origin": f"run:{run.id}", "team": "others"}
    owner_browser.post(reverse("submit"), data)
    clone = Job.objects.get(team=other_team)
    assert clone.cloned_from == run
    page = read_run_page(stranger_browser, clone.run.id)
    assert "secret" not in page and run.id not in page and "<del>41</del>" not in page


def test_an_unknown_origin_or_one_without_access_is_ignored(
    stranger_browser, make_job, make_spec, other_team
):
    run = make_job().run
    stranger_browser.post(reverse("submit"), fields_of(make_spec(devices=2)) | {"origin": f"run:{run.id}"})
    assert Job.objects.get(team=other_team).cloned_from is None


def test_a_team_mate_may_clone(browser_of, team_mate, make_job):
    run = make_job().run
    assert browser_of(team_mate).get(reverse("submit"), {"from": run.id}).status_code == 200


def test_a_stranger_cannot_read_a_spec_by_cloning(stranger_browser, make_job):
    run = make_job().run
    assert stranger_browser.get(reverse("submit"), {"from": run.id}).status_code == 404


def test_a_logged_run_without_a_spec_cannot_be_cloned(owner_browser, owner, team):
    run = Run.objects.create(team=team, owner=owner, name="logged", spec={"lr": 1})
    assert owner_browser.get(reverse("submit"), {"from": run.id}).status_code == 404

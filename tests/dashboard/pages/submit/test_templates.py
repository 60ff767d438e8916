"""Spec templates: saved from the submit page, used, changed and deleted."""

from __future__ import annotations

import pytest
from django.urls import reverse

from engine.spec.presets import preset
from jobs.models import Job, Template, TemplateEvent
from jobs.queue import templates
from tests.dashboard.conftest import fields_of

SUBMIT = "/submit/"


@pytest.fixture
def browser(owner_browser, node):
    return owner_browser


@pytest.fixture
def template(team, make_spec, node) -> Template:
    spec = make_spec("model.layers=3", "seed=41")
    return templates.save(team=team, name="small", description="For trying out", spec=spec, actor="olga")


def posted(spec, **changes: str) -> dict[str, str]:
    said = {name: changes.pop(name) for name in list(changes) if name.startswith("template_")}
    return fields_of(spec, **changes) | said


def change(browser, template, **more):
    data = posted(preset("demo"), template_name="small", template_version=str(template.version), **more)
    return browser.post(reverse("template-change", args=[template.id]), data, follow=True)


def test_the_form_is_saved_as_a_template(browser, team):
    data = posted(preset("demo"), model__layers="3", template_name=" my  start ", template_description="Ours")
    answer = browser.post(reverse("template-save"), data, follow=True)
    kept = Template.objects.get()
    assert (kept.name, kept.description, kept.team, kept.created_by) == ("my start", "Ours", team, "olga")
    assert kept.spec["model"]["layers"] == 3
    assert "Template my start is saved." in answer.text
    assert kept.events.get().actor == "olga"


def test_team_mates_see_a_template_and_start_from_it(browser_of, team_mate, template):
    page = browser_of(team_mate).get(SUBMIT).text
    assert f"{SUBMIT}?template={template.id}" in page and "For trying out" in page
    page = browser_of(team_mate).get(SUBMIT, {"template": template.id}).text
    assert 'value="41"' in page and "layers: 3" in page


def test_a_job_shows_its_template(browser, template, make_spec):
    origin = {"origin": f"template:{template.id}"}
    browser.post(SUBMIT, fields_of(make_spec("model.layers=3", seed=7)) | origin)
    job = Job.objects.get()
    assert (job.template, job.cloned_from) == (template, None)
    page = browser.get(reverse("run", args=[job.run.id])).text
    assert f'template <a href="{SUBMIT}?template={template.id}">small</a>' in " ".join(page.split())


def test_a_team_mate_changes_a_template_and_the_history_shows_it(browser_of, team_mate, template):
    page = change(browser_of(team_mate), template, template_description="Better")
    template.refresh_from_db()
    assert (template.version, template.created_by, template.changed_by) == (2, "olga", "tom")
    assert template.description == "Better"
    said = template.events.last()
    assert said.actor == "tom" and "model.layers: 3 → 4" in said.text and "Description changed" in said.text
    assert "model.layers: 3 → 4" in page.text


def test_a_change_of_an_outdated_template_is_refused_and_the_text_is_kept(
    browser, browser_of, team_mate, template
):
    change(browser_of(team_mate), template)
    answer = change(browser, template, seed="99")
    assert answer.status_code == 409
    assert "tom changed template" in answer.text and 'value="99"' in answer.text
    template.refresh_from_db()
    assert template.version == 2


def test_a_used_name_is_refused_with_a_way_out(browser, template):
    answer = browser.post(reverse("template-save"), posted(preset("demo"), template_name="small", seed="77"))
    assert answer.status_code == 422
    assert "already has a template" in answer.text and 'value="77"' in answer.text
    assert Template.objects.count() == 1


@pytest.mark.parametrize(("name", "said"), [("", "needs a name"), ("x" * 61, "limit is 60")])
def test_an_invalid_name_is_refused(browser, name, said):
    answer = browser.post(reverse("template-save"), posted(preset("demo"), template_name=name))
    assert answer.status_code == 422 and said in answer.text


def test_an_invalid_spec_is_not_stored(browser):
    answer = browser.post(
        reverse("template-save"), posted(preset("demo"), template_name="x", model__layers="many")
    )
    assert answer.status_code == 422 and not Template.objects.exists()


def test_a_spec_that_no_pool_can_run_now_is_stored(browser):
    data = posted(preset("demo"), template_name="big", parallel__data="64", batch__global_batch_size="512")
    assert browser.post(reverse("template-save"), data).status_code == 302


def test_deleting_a_template_keeps_its_jobs_and_an_event(browser, template, make_spec):
    browser.post(SUBMIT, fields_of(make_spec()) | {"origin": f"template:{template.id}"})
    answer = browser.post(reverse("template-delete", args=[template.id]), follow=True)
    assert "is deleted" in answer.text
    assert Job.objects.get().template is None
    assert TemplateEvent.objects.last().text == "Deleted template 'small'."


@pytest.mark.parametrize("who", ["viewer", "stranger"])
@pytest.mark.parametrize("action", ["template-change", "template-delete"])
def test_a_user_who_may_not_write_gets_404_and_changes_nothing(request, browser_of, template, who, action):
    browser = browser_of(request.getfixturevalue(who))
    answer = browser.post(reverse(action, args=[template.id]), posted(preset("demo"), template_name="mine"))
    template.refresh_from_db()
    assert (answer.status_code, template.version) == (404, 1)


def test_a_stranger_cannot_use_or_see_a_template(stranger_browser, template):
    assert stranger_browser.get(SUBMIT, {"template": template.id}).status_code == 404
    assert "For trying out" not in stranger_browser.get(SUBMIT).text


def test_more_templates_take_the_same_number_of_queries(
    browser, team, make_spec, django_assert_max_num_queries
):
    browser.get(SUBMIT)
    for number in range(3):
        for extra in "abcd":
            said = {"name": f"{number}{extra}", "description": "", "actor": "olga"}
            templates.save(team=team, spec=make_spec(), **said)
        with django_assert_max_num_queries(22):
            browser.get(SUBMIT)

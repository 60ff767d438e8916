"""Submitting a job from the form: fields, submitted spec, refusals at their fields."""

from __future__ import annotations

import json
import re

import pytest
from django.urls import reverse

from dashboard.pages.submit import spec_fields
from engine.spec.presets import PRESETS, preset
from engine.spec.spec import Spec, flatten, to_yaml
from jobs.models import Job, Membership, Pool
from jobs.pools import pool_settings
from tests.dashboard.conftest import fields_of

SUBMIT, CHECK = "/submit/", "/submit/check/"


@pytest.fixture
def browser(owner_browser, node):
    return owner_browser


def problems_in(answer) -> dict[str, str]:
    """{field: sentences} as the page hands them to its script."""
    said = re.search(r'<script id="problems" type="application/json">(.*?)</script>', answer.text).group(1)
    found: dict[str, str] = {}
    for problem in json.loads(said):
        found[problem["field"]] = found.get(problem["field"], "") + problem["message"]
    return found


def test_every_field_of_the_spec_has_an_input(browser):
    text = browser.get(SUBMIT).text
    for path in flatten(Spec().model_dump()):
        assert f'name="{path}"' in text


def test_rare_fields_and_conditions_name_existing_fields_and_values():
    assert set(spec_fields.RARE) | set(spec_fields.WHEN) <= set(spec_fields.FIELDS)
    for other, values in spec_fields.WHEN.values():
        assert set(values) <= {str(choice) for choice in spec_fields.FIELDS[other].choices}
    assert set(spec_fields.TRAINING_GROUPS) < {group.title for group in spec_fields.GROUPS}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_the_form(browser, name):
    answer = browser.get(SUBMIT, {"preset": name})
    assert f'value="{preset(name).model.width}"' in answer.text


def test_an_unknown_preset_is_not_found(browser):
    assert browser.get(SUBMIT, {"preset": "nonsense"}).status_code == 404


def test_the_defaults_work(browser, owner):
    answer = browser.post(SUBMIT, fields_of(preset("demo")))
    job = Job.objects.get()
    assert answer.status_code == 302
    assert answer.url == reverse("run", args=[job.run.id])
    expected = preset("demo").model_dump()
    expected["budget"]["time_limit_s"] = 3600  # none was given: the pool's
    assert job.spec == expected
    assert job.owner == owner


def test_fields_become_the_spec(browser):
    posted = fields_of(preset("demo"), name="mine", seed="7", optimiser__learning_rate="3e-4",
                       parallel__activation_checkpointing="full")  # fmt: skip
    browser.post(SUBMIT, posted)
    spec = Job.objects.get().spec
    assert (spec["name"], spec["seed"], spec["optimiser"]["learning_rate"]) == ("mine", 7, 3e-4)
    assert spec["parallel"]["activation_checkpointing"] == "full"


def test_yaml_that_was_edited_last_becomes_the_spec(browser):
    text = to_yaml(preset("demo")).replace("layers: 4", "layers: 3")
    browser.post(SUBMIT, fields_of(preset("demo")) | {"source": "yaml", "yaml": text})
    assert Job.objects.get().spec["model"]["layers"] == 3


@pytest.mark.parametrize(
    ("field", "text", "sentence"),
    [
        ("model.heads", "3", "3 heads do not divide the width 128; use 4."),
        ("parallel.stages", "5", "5 stages need at least 5 layers; the model has 4."),
        ("batch.global_batch_size", "17", "17 is not a multiple"),
        ("model.layers", "0", "0 is out of range: it must be at least 1."),
        ("model.layers", "-1", "-1 is out of range"),
        ("model.layers", "", "'' is not a whole number"),
        ("model.layers", "four", "is not a whole number"),
        ("model.layers", "9" * 5000, "is not a whole number"),
        ("budget.steps", "999999999999", "it must be at most 100,000,000"),
        ("optimiser.learning_rate", "nan", "'nan': Input should be a finite number"),
        ("optimiser.learning_rate", "1e999", "'1e999': Input should be a finite number"),
        ("precision.dtype", "fp16", "does not support fp16 on CPU devices"),
        ("data.corpus", "../../etc/passwd", "etc/passwd"),
        ("pool", "nonsense", "does not exist"),
    ],
)
def test_an_invalid_field_is_refused_at_the_field(browser, field, text, sentence):
    answer = browser.post(SUBMIT, fields_of(preset("demo")) | {field: text})
    assert answer.status_code == 422
    assert sentence in problems_in(answer)[field]
    assert not Job.objects.exists()
    if len(text) < 100 and text:
        assert text in answer.text  # what was typed is still there


def test_a_pipeline_with_zero_stage_three_is_refused_with_the_reason_and_a_way_out(browser):
    posted = fields_of(preset("pipeline"), parallel__zero_stage="3")
    said = browser.post(CHECK, posted).json()["problems"]
    assert [problem["field"] for problem in said] == ["parallel.zero_stage"]
    assert "DeepSpeed refuses it" in said[0]["message"]
    assert said[0]["fix"] == {"parallel.zero_stage": "1"}
    assert said[0]["fix_label"] == "Use 1"


def test_an_unknown_field_in_yaml_is_refused_with_its_line(browser):
    said = browser.post(CHECK, {"source": "yaml", "yaml": "name: a\nmodel:\n  layer: 3\n"}).json()["problems"]
    assert said[0]["line"] == 3
    assert "Did you mean 'layers'?" in said[0]["message"]


def test_a_spec_of_ten_megabytes_is_refused_before_it_is_read(browser):
    posted = fields_of(preset("demo")) | {"source": "yaml", "yaml": "x" * 10_000_000}
    answer = browser.post(SUBMIT, posted)
    assert answer.status_code == 413
    assert "a spec may have 65,536" in answer.text
    checked = browser.post(CHECK, posted, headers={"accept": "application/json"})
    assert "a spec may have 65,536" in checked.json()["problems"][0]["message"]
    assert not Job.objects.exists()


def test_a_spec_of_a_hundred_kilobytes_is_refused_with_its_size(browser):
    answer = browser.post(SUBMIT, fields_of(preset("demo")) | {"source": "yaml", "yaml": "x" * 100_000})
    assert "The spec is 100,000 bytes; the limit is 65,536." in problems_in(answer)[""]
    assert not Job.objects.exists()


def test_a_closed_pool_is_refused(browser):
    Pool.objects.update(is_open=False)
    answer = browser.post(SUBMIT, fields_of(preset("demo")))
    assert "is closed" in problems_in(answer)["pool"]


def test_a_viewer_may_not_submit(viewer_browser, node):
    answer = viewer_browser.get(SUBMIT)
    assert answer.status_code == 403 and "You are a viewer." in answer.text
    assert viewer_browser.post(SUBMIT, fields_of(preset("demo"))).status_code == 404
    assert viewer_browser.post(CHECK, fields_of(preset("demo"))).status_code == 404
    assert not Job.objects.exists()


def test_another_team_cannot_be_submitted_for(browser, other_team):
    answer = browser.post(SUBMIT, fields_of(preset("demo")) | {"team": other_team.slug})
    assert answer.status_code == 404
    assert not Job.objects.exists()


def test_a_foreign_site_cannot_submit(owner, node):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    assert strict.post(SUBMIT, fields_of(preset("demo"))).status_code == 403
    assert not Job.objects.exists()


def test_the_plan_shows_memory_and_capacity(browser):
    plan = browser.post(CHECK, fields_of(preset("demo"))).json()["plan"]
    assert "fits" in plan
    assert "8.00 GiB of cpu share" in plan.replace("8 GiB", "8.00 GiB")
    assert "estimated" in browser.get(SUBMIT).text


def test_a_model_that_is_too_large_does_not_fit(browser, make_node):
    make_node("big", devices=8, pool="gpus", kind="cuda")
    plan = browser.post(CHECK, fields_of(preset("7b"), pool="gpus")).json()["plan"]
    assert "will not fit" in plan


def test_a_device_of_unknown_memory_gives_no_verdict(browser, node):
    node.devices.update(memory_bytes=None)
    plan = browser.post(CHECK, fields_of(preset("demo"))).json()["plan"]
    assert "capacity unknown" in plan


def test_an_impossible_spec_has_no_plan(browser):
    plan = browser.post(CHECK, fields_of(preset("demo"), model__heads="3")).json()["plan"]
    assert "appears when every field is valid" in plan


def test_groups_and_fields_come_from_the_spec():
    assert list(spec_fields.FIELDS) == list(flatten(Spec().model_dump()))


def test_a_refusal_of_the_pool_is_shown_at_its_field_with_the_typed_text(browser, pool):
    pool_settings.change(pool, "ann", {"max_time_limit_s": "1 h", "max_gang": "1"})
    posted = fields_of(preset("demo"), name="keep me", budget__time_limit_s="7200", requires="gpu=h200")
    answer = browser.post(SUBMIT, posted)
    assert answer.status_code == 422 and not Job.objects.exists()
    said = problems_in(answer)
    assert "7200 s exceed the limit of pool" in said["budget.time_limit_s"]
    assert "allows at most 1 per job" in said["parallel.data"]
    assert "does not have gpu=h200" in said["requires"]
    assert 'value="keep me"' in answer.text and 'value="7200"' in answer.text


def test_the_pool_is_checked_for_the_selected_team(browser, pool, owner, other_team):
    Membership.objects.create(user=owner, team=other_team)
    pool_settings.change(pool, "ann", {"allowed_teams": "others"})
    fields = fields_of(preset("demo"))
    assert browser.post(CHECK, fields | {"team": "others"}).json()["problems"] == []
    assert browser.post(CHECK, fields | {"team": "research"}).json()["problems"][0]["field"] == "pool"
    assert browser.post(CHECK, fields | {"team": "nowhere"}).status_code == 404


def test_an_empty_time_limit_is_none_in_both_notations(browser):
    fields = fields_of(preset("demo"), budget__time_limit_s="")
    text = browser.post(
        CHECK, fields | {"yaml": to_yaml(preset("demo")).replace("time_limit_s: null", "time_limit_s: 90")}
    ).json()["yaml"]
    assert "time_limit_s: null" in text
    values = browser.post(CHECK, {"source": "yaml", "yaml": text}).json()["values"]
    assert values["budget.time_limit_s"] == ""


def test_the_plan_shows_the_largest_possible_cost(browser, pool):
    fields = fields_of(preset("demo"), budget__time_limit_s="1800")
    assert "at the most" not in browser.post(CHECK, fields).json()["plan"]
    pool_settings.change(pool, "ann", {"price_per_device_hour": "2.5", "currency": "USD"})
    assert "Costs at most 2.50 USD: 2 devices" in browser.post(CHECK, fields).json()["plan"]

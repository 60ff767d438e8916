"""A user in a real browser: logs in, submits, watches the loss, cancels."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import submit

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(300)]

PAGES = ("/jobs/", "/queue/", "/submit/", "/runs/", "/compare/", "/pools/")


@pytest.mark.parametrize("path", PAGES)
def test_every_page_opens_empty_and_without_a_console_error(page: Page, path: str):
    answer = page.goto(path)
    assert answer and answer.status == 200
    page.wait_for_load_state("load")
    assert page.locator("h1").count() == 1


def test_the_form_refuses_at_the_field_and_offers_what_works(page: Page):
    page.goto("/submit/")
    page.locator("[name='model.heads']").fill("3")
    problem = page.locator("[data-field='model.heads'] .problem")
    expect(problem).to_contain_text("do not divide the width")
    problem.get_by_role("button").click()
    expect(problem).to_be_hidden()
    assert 128 % int(page.locator("[name='model.heads']").input_value()) == 0


def test_yaml_and_fields_change_each_other(page: Page):
    page.goto("/submit/")
    yaml = page.locator("#yaml")
    yaml.fill(re.sub(r"layers: \d+", "layers: 7", yaml.input_value()))
    expect(page.locator("[name='model.layers']")).to_have_value("7")
    page.locator("[name='model.layers']").fill("5")
    expect(yaml).to_have_value(re.compile(r"layers: 5"))


def test_the_form_shows_fields_that_apply_and_changes(page: Page):
    page.goto("/submit/")
    classes, norm = page.locator("[data-field='model.classes']"), page.locator("[data-field='model.norm']")
    expect(classes).to_be_hidden()
    page.locator("[name='data.objective']").select_option("classes")
    expect(classes).to_be_visible()
    expect(norm).to_be_hidden()
    page.locator("fieldset", has=norm).get_by_role("button", name="More").click()
    norm.locator("select").select_option("rmsnorm")
    page.locator("fieldset", has=norm).get_by_role("button", name="Less").click()
    expect(norm).to_be_visible()  # it is part of the spec now


def test_the_loss_appears_live_until_the_run_ends(page: Page):
    submit(page, "watched", "400")
    loss = page.locator("[data-metrics~='loss']").first
    expect(loss.locator("canvas").first).to_be_visible(timeout=60_000)
    expect(page.locator("body")).to_contain_text("running", timeout=60_000)
    expect(page.locator("body")).to_contain_text("succeeded", timeout=120_000)


def test_a_running_job_is_cancelled_from_the_list(page: Page):
    submit(page, "unwanted", "100000")
    expect(page.locator("body")).to_contain_text("running", timeout=60_000)
    page.goto("/jobs/")
    row = page.locator("tr", has_text="unwanted")
    row.evaluate("row => { row.dataset.asked = 'yes' }")
    row.get_by_role("button", name=re.compile("Cancel")).click()
    # The answer counts although the live list has replaced the row in the meantime.
    expect(page.locator("tr[data-asked]")).to_have_count(0, timeout=30_000)
    page.locator("#confirm button[value='yes']").click()
    expect(row).to_contain_text("cancelled", timeout=60_000)


def test_a_step_timeline_is_shown_and_the_next_steps_are_traced(page: Page, tmp_path: Path):
    submit(page, "traced", "100000")
    address = page.url
    page.goto(f"{address}performance/")
    closely = page.locator("#timeline")
    expect(closely.locator(".timeline-strip").first).to_be_visible(timeout=90_000)
    assert closely.locator("rect.mark-backward").count() >= 2
    closely.get_by_label("Trace the next").select_option("2")
    closely.get_by_role("button", name="Trace").click()
    link = closely.locator("a[download]").first
    expect(link).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        link.click()
    download.value.save_as(tmp_path / "trace.json.gz")
    assert b'"traceEvents"' in gzip.decompress((tmp_path / "trace.json.gz").read_bytes())
    page.goto(f"{address}charts/")
    stack = page.locator("[data-metrics~='forward_s']")
    stack.scroll_into_view_if_needed()  # a chart loads when it is seen
    expect(stack).to_have_attribute("data-state", "drawn")  # the button works from then on
    stack.get_by_role("button", name="Shares of the total").click()
    expect(stack.locator(".legend")).to_contain_text("%")
    page.locator("#run-head").get_by_role("button", name=re.compile("Cancel")).click()
    page.locator("#confirm button[value='yes']").click()
    expect(page.locator("#run-head")).to_contain_text("cancelled", timeout=60_000)


@pytest.mark.parametrize("path", PAGES)
def test_no_page_scrolls_sideways_on_a_phone(page: Page, path: str):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 900})

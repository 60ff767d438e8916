"""Upload of a file in a real browser, and training on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import TINY

pytestmark = [pytest.mark.browser, pytest.mark.ranks, pytest.mark.timeout(300)]

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SPEC = {
    "data.tokenizer": "bytes",
    "data.objective": "pairs",
    "model.family": "encoder-decoder",
    "model.context": "32",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [
        {"source": f"{a} and {b}", "target": f"{WORDS[a]} {WORDS[b]}"} for a in range(10) for b in range(10)
    ]
    lines = [json.dumps(row) for row in rows]
    lines[50:50] = ["=cmd|'/c calc'!A1", '{"source": "only this"}']
    path = tmp_path / "numbers.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_a_file_is_uploaded_reviewed_and_used_for_training(
    page: Page, page_like: Callable[..., Page], file: Path
) -> None:
    page.goto("/data/")
    page.get_by_role("link", name="Upload a file").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator("[data-chosen]")).to_contain_text("numbers.jsonl")
    page.get_by_label("Licence or source").fill("CC0, made for a test")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url(re.compile(r"/data/\w{12}/$"))
    expect(page.get_by_text("2 of 102 lines are invalid.")).to_be_visible()
    refused = page.locator("section", has=page.get_by_role("heading", name="Refused lines"))
    expect(refused.get_by_role("row")).to_have_count(3)
    with page.expect_download() as download:
        refused.get_by_role("link", name="All as CSV").click()
    assert [line[:3] for line in Path(download.value.path()).read_text().splitlines()] == [
        "lin",
        "51,",
        "52,",
    ]

    page.get_by_role("button", name="Keep 100 valid lines").click()
    expect(page.get_by_text("is ready: runs can train on it")).to_be_visible()
    corpus = page.locator("#data-corpus").inner_text()
    address = page.url
    train(page, corpus)
    expect(page.locator("#run-head")).to_contain_text("succeeded", timeout=120_000)
    parent = page.url
    page.goto(f"{parent}charts/")
    outputs = page.locator("#outputs")
    expect(outputs.get_by_role("article")).to_have_count(4)
    expect(outputs).to_contain_text("Since step")
    for name in ("bleu", "rouge_1_share", "loss_gap"):
        expect(page.locator(f"[data-metrics~='{name}']")).to_be_visible()
    page.goto(f"{parent}files/")
    fine_tune(page)

    narrow = page_like(viewport={"width": 360, "height": 800}, color_scheme="dark")
    for place in (address, "/data/", "/data/upload/"):
        narrow.goto(place)
        assert narrow.evaluate("document.documentElement.scrollWidth") <= 360, place
    expect(narrow.get_by_role("heading", name="File formats")).to_be_visible()
    page.goto(address)
    expect(page.get_by_role("link", name="numbered", exact=True)).to_be_visible()


def fine_tune(page: Page) -> None:
    """Submit a run that starts from a checkpoint of this one, without waiting for it."""
    parent = page.url
    newest = page.locator(".checkpoint-list li", has_text="newest")
    expect(newest).to_contain_text("Step 20")
    newest.get_by_role("link", name="Fine-tune from this checkpoint").click()
    expect(page.locator("[name='start_from']")).to_have_value(re.compile(r"^\w+@20$"))
    page.locator("#spec-form [name='name']").fill("begun")
    expect(page.locator("#yaml")).to_have_value(re.compile("name: begun"))
    page.locator("#go").click()
    page.wait_for_url(lambda address: "/runs/" in address and address not in parent)
    page.goto(f"{page.url}files/")
    lineage = page.locator(".lineage")
    expect(lineage).to_contain_text("its weights at step 20")
    lineage.get_by_role("link").first.click()
    page.wait_for_url(parent.removesuffix("files/"))
    page.goto(parent)
    expect(lineage.locator(".kin-children")).to_contain_text("from step 20")


def train(page: Page, corpus: str) -> None:
    page.goto("/submit/")
    yaml = page.locator("#yaml")
    values = TINY | {"name": "numbered", "budget.steps": "20", "data.corpus": corpus} | SPEC
    text = yaml.input_value()
    for path, value in values.items():
        part, _, leaf = path.rpartition(".")
        pattern = rf"(^{part}:\n(?:  .*\n)*?  {leaf}: ).*$" if part else rf"(^{leaf}: ).*$"
        text, count = re.subn(pattern, rf"\g<1>{value}", text, flags=re.MULTILINE)
        assert count == 1, path
    yaml.fill(text)
    expect(page.locator("[name='data.corpus']")).to_have_value(corpus)
    page.locator("#go").click()
    page.wait_for_url("**/runs/*/")


def test_a_refused_file_has_a_message_beside_the_form(
    page: Page, tmp_path: Path, console_errors: list[str]
) -> None:
    page.goto("/data/upload/")
    packed = tmp_path / "packed.txt"
    packed.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    page.locator("input[type=file]").set_input_files(packed)
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert")).to_contain_text("a ZIP archive")
    expect(page.get_by_role("button", name="Upload")).to_be_enabled()
    console_errors.clear()  # the browser reports every status above 400

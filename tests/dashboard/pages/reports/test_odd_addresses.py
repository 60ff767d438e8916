"""Reports with paragraphs that look like addresses and are none: saved, previewed and read by everybody."""

from __future__ import annotations

import random

import pytest

from jobs.people import sharing

SEED, CASES = 20261130, 150
ODD = (
    "//[",
    "http://[",
    "http://[::1",
    "<//[>",
    "//]",
    "/compare/?[",
    "/compare/#[",
    "//[/compare/",
    "http://a:b/compare/",
)
LETTERS = "/[]:?#@<>%&=.\\ab1ü\u202e "


@pytest.mark.parametrize("paragraph", ODD)
def test_a_paragraph_that_is_no_address_is_text(paragraph, owner_browser, viewer_browser):
    saved = owner_browser.post("/reports/write/", {"title": "t", "text": f"before\n\n{paragraph}\n\nafter"})
    assert saved.status_code == 302
    for browser in (owner_browser, viewer_browser):
        page = browser.get(saved["Location"])
        assert page.status_code == 200 and "after" in page.text


def test_generated_paragraphs_never_break_a_report(owner_browser, owner, team):
    drawn = random.Random(SEED)
    for _ in range(CASES):
        starts = ("", "//", "http://", "/compare/", "/v/", "<//", "[a](//", "[a]: //")
        lines = [
            drawn.choice(starts) + "".join(drawn.choices(LETTERS, k=drawn.randrange(8))) for _ in range(5)
        ]
        report = sharing.create_report(team=team, owner=owner, title="t", text="\n\n".join(["x", *lines]))
        assert owner_browser.get(f"/reports/{report.id}/").status_code == 200, lines

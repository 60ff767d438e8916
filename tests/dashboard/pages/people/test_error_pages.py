"""Error pages: meaning and way out."""

from __future__ import annotations

from html import unescape

import pytest

from dashboard import errors
from dashboard.pages.people import error_views


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413, 429, 500, 502, 503])
def test_a_problem_page_has_a_way_out_and_a_sentence(status, rf):
    answer = errors.reply(rf.get("/runs/"), status)
    assert answer.status_code == status
    assert 'href="/"' in answer.text and answer.text.count("<h1>") == 1
    sentence = error_views.SENTENCES.get(status) or errors.SENTENCES.get(status, "")
    assert sentence[:20] in unescape(answer.text)


def test_a_server_error_page_needs_no_database(rf):
    answer = errors.server_error(rf.get("/runs/"))
    assert answer.status_code == 500
    assert "Training continues" in answer.text


def test_a_missing_run_page_gives_possible_reasons(owner_browser):
    answer = owner_browser.get("/runs/nothere/")
    assert answer.status_code == 404
    assert "a team that you are not in" in answer.text

"""Error pages: meaning and way out."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.views.defaults import server_error


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "500"])
def test_a_problem_page_needs_no_context_and_has_a_way_out(code):
    text = render_to_string(f"{code}.html")
    assert 'href="/"' in text
    assert text.count("<h1>") == 1


def test_a_server_error_page_needs_no_database(rf):
    answer = server_error(rf.get("/runs/"))
    assert answer.status_code == 500
    assert "Training continues" in answer.content.decode()


def test_a_missing_run_page_gives_possible_reasons(owner_browser):
    answer = owner_browser.get("/runs/nothere/")
    assert answer.status_code == 404
    assert "a team that you are not in" in answer.text

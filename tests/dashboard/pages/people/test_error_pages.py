"""Pages for what went wrong: they say what it means and where to go on."""

from __future__ import annotations

import pytest
from django.template.loader import render_to_string
from django.views.defaults import server_error


@pytest.mark.parametrize("code", ["400", "403", "403_csrf", "404", "500"])
def test_a_problem_page_needs_no_context_and_has_a_way_out(code):
    text = render_to_string(f"{code}.html")
    assert 'href="/"' in text
    assert text.count("<h1>") == 1


def test_a_broken_view_is_told_without_a_database(rf):
    answer = server_error(rf.get("/runs/"))
    assert answer.status_code == 500
    assert "Training goes on" in answer.content.decode()


def test_a_missing_run_says_what_it_may_mean(owner_browser):
    answer = owner_browser.get("/runs/nothere/")
    assert answer.status_code == 404
    assert "a team that you are not in" in answer.text

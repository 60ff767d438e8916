"""Comments on a run: who may write, change and delete them, and what they may contain."""

from __future__ import annotations

import pytest

from jobs.models import Comment, RunEvent
from jobs.people import sharing


@pytest.fixture
def run(make_job):
    return make_job().run


def post(browser, run, path="write/", text="Looks **good**."):
    return browser.post(f"/runs/{run.id}/comments/{path}", {"text": text}, headers={"HX-Request": "true"})


def test_a_comment_is_shown_as_markdown(owner_browser, run, owner):
    answer = post(owner_browser, run)
    assert "<strong>good</strong>" in answer.text
    assert "<strong>good</strong>" in owner_browser.get(f"/runs/{run.id}/").text
    assert RunEvent.objects.get().kind == "run.commented"


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "![x](https://example.com/pixel.png)",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
    ],
)
def test_a_comment_is_sanitised(owner_browser, run, attack):
    text = post(owner_browser, run, text=attack).text
    shown = text.split('class="written small">')[1].split("</div>")[0]
    assert not any(harm in shown for harm in ("<script", "<img", 'href="javascript', 'href="data'))


@pytest.mark.parametrize(("text", "said"), [("  ", "is empty"), ("x" * 10_001, "the limit is 10000")])
def test_a_refused_text_stays_in_its_field(owner_browser, run, text, said):
    answer = post(owner_browser, run, text=text)
    assert said in answer.text
    assert text.strip() in answer.text
    assert not Comment.objects.exists()


def test_only_its_author_changes_a_comment(owner_browser, browser_of, team_mate, owner, run):
    comment = sharing.add_comment(run, owner, "first")
    assert (
        "Only olga can change" in post(browser_of(team_mate), run, f"{comment.id}/change/", "mine now").text
    )
    post(owner_browser, run, f"{comment.id}/change/", "second")
    comment.refresh_from_db()
    assert (comment.text, comment.changed_at is not None) == ("second", True)


def test_a_comment_is_deleted_by_its_author_and_leaves_an_event(
    owner_browser, browser_of, team_mate, owner, run
):
    comment = sharing.add_comment(run, owner, "first")
    post(browser_of(team_mate), run, f"{comment.id}/delete/")
    assert Comment.objects.exists()
    post(owner_browser, run, f"{comment.id}/delete/")
    assert not Comment.objects.exists()
    assert [event.kind for event in RunEvent.objects.all()] == ["run.commented", "run.comment_deleted"]


def test_viewers_can_read_and_strangers_get_404(viewer_browser, stranger_browser, owner, run):
    comment = sharing.add_comment(run, owner, "for the team")
    page = viewer_browser.get(f"/runs/{run.id}/").text
    assert "for the team" in page and "comments/write/" not in page
    for path in ("write/", f"{comment.id}/change/", f"{comment.id}/delete/"):
        assert post(viewer_browser, run, path).status_code == 404
        assert post(stranger_browser, run, path).status_code == 404
    assert Comment.objects.get().text == "for the team"


def test_a_comment_of_another_run_is_not_found(owner_browser, owner, run, make_job):
    comment = sharing.add_comment(make_job(name="other").run, owner, "there")
    assert post(owner_browser, run, f"{comment.id}/delete/").status_code == 404


def test_without_scripts_the_user_returns_to_the_page(owner_browser, run):
    answer = owner_browser.post(f"/runs/{run.id}/comments/write/", {"text": "plain"})
    assert answer.url == f"/runs/{run.id}/#comments"


def test_more_comments_take_the_same_number_of_queries(owner_browser, owner, run):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def queries():
        with CaptureQueriesContext(connection) as seen:
            owner_browser.get(f"/runs/{run.id}/comments/", headers={"HX-Request": "true"})
        return len(seen)

    sharing.add_comment(run, owner, "one")
    few = queries()
    for number in range(10):
        sharing.add_comment(run, owner, f"number {number}")
    assert queries() == few

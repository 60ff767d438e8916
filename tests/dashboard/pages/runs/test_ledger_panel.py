"""Wall clock on the run page and in the API: parts, goodput, and who may read them."""

from __future__ import annotations

import re

import pytest

from jobs.models import Attempt
from tests.dashboard.page_text import read_run_page
from tests.jobs.ledger.test_ledger import BEGAN, give_clock

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(make_job, node):
    job = make_job()
    give_clock(job, node)
    return job.run


def read(browser, run) -> str:
    return " ".join(browser.get(f"/runs/{run.id}/ledger/").content.decode().split())


def test_the_panel_has_a_bar_and_a_row_for_each_part(owner_browser, run):
    text = read(owner_browser, run)
    assert len(re.findall(r'<i style="--width: [\d.]+%', text)) == 6
    for title in ("Launch", "Imports", "First step", "Steps", "Validation", "Ending"):
        assert f"</i>{title}<b>" in text
    assert re.search(r">Goodput</dt> <dd>40(\.0)?\s% </dd>", text) and "By the clock" in text
    assert text.split("<section", 1)[1][:60] in " ".join(read_run_page(owner_browser, run.id).split())


def test_several_attempts_have_a_column_each_and_an_old_one_its_reason(owner_browser, run, node):
    old = Attempt.objects.create(
        job=run.job,
        node=node,
        number=2,
        state="failed",
        started_at=BEGAN,
        ended_at=BEGAN,
        phases={"imports": 1.0},
    )
    Attempt.objects.filter(id=old.id).update(assigned_at=BEGAN)
    text = read(owner_browser, run)
    assert "Attempt 1</th>" in text and "Attempt 2</th>" in text
    assert "An older version of Fourwalls recorded this attempt" in text


def test_a_job_that_waits_says_so(owner_browser, make_job):
    assert "No device has been held yet." in read(owner_browser, make_job().run)


def test_the_number_of_queries_does_not_depend_on_the_attempts(
    owner_browser, run, node, django_assert_max_num_queries
):
    for number in range(2, 9):
        one = Attempt.objects.create(job=run.job, node=node, number=number, state="failed", ended_at=BEGAN)
        Attempt.objects.filter(id=one.id).update(assigned_at=BEGAN)
    with django_assert_max_num_queries(10):
        text = read(owner_browser, run)
    assert "The newest 6 attempts have a column." in text


def test_the_api_gives_the_parts_to_the_team_alone(
    owner_browser, viewer_browser, stranger_browser, run, make_job
):
    path = f"/api/v1/runs/{run.id}/ledger"
    found = owner_browser.get(path).json()
    assert sum(found["seconds"].values()) == pytest.approx(found["held_s"]) == pytest.approx(100.0)
    assert found["goodput_share"] == pytest.approx(0.4) and found["attempts"][0]["unexplained_share"] == 0.0
    assert viewer_browser.get(path).json() == found
    assert stranger_browser.get(path).status_code == 404
    assert stranger_browser.get(f"/runs/{run.id}/ledger/").status_code == 404
    assert "no device" in owner_browser.get(f"/api/v1/runs/{make_job().run.id}/ledger").json()["detail"]


def test_the_table_shows_goodput_and_the_rate_by_the_clock(owner_browser, run):
    owner_browser.get(f"/runs/{run.id}/")  # judges the run, which stores its ledger
    text = owner_browser.get("/runs/?col=goodput&col=clock_rate").content.decode()
    assert "Goodput" in text and "Tokens/s by the clock" in text

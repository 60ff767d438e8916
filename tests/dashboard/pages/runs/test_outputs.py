"""Sample outputs on the run page: over the steps, escaped, for the team only."""

from __future__ import annotations

import pytest

from jobs.attempts.outputs import get_output_histories
from jobs.models import RunOutput
from tests.dashboard.page_text import read_run_page

pytestmark = pytest.mark.django_db


@pytest.fixture
def told(make_job):
    run = make_job().run
    for step, output in ((10, "le"), (20, "le chat"), (30, "le chat"), (40, "<b>le chat dort</b>")):
        RunOutput.objects.create(
            run=run, step=step, number=0, prompt="the cat sleeps", reference="le chat dort", output=output
        )
    return run


def test_outputs_are_listed_newest_first_without_repetitions(told, owner_browser):
    page = read_run_page(owner_browser, told.id)
    part = page[page.index('id="outputs"') :]
    assert "the cat sleeps" in part
    assert part.index("Since step 40") < part.index("Step 20") < part.index("Step 10")
    assert "Step 30" not in part
    assert "&lt;b&gt;le chat dort&lt;/b&gt;" in part
    assert owner_browser.get(f"/runs/{told.id}/outputs/").text.strip() in page


def test_a_run_without_outputs_has_no_heading(make_job, owner_browser):
    assert "Sample outputs" not in read_run_page(owner_browser, make_job().run.id)


def test_strangers_see_no_outputs(told, stranger_browser):
    assert stranger_browser.get(f"/runs/{told.id}/outputs/").status_code == 404


def test_ten_times_the_outputs_take_the_same_number_of_queries(
    told, owner_browser, django_assert_num_queries
):
    with django_assert_num_queries(1):
        get_output_histories(told)
    RunOutput.objects.bulk_create(
        RunOutput(run=told, step=step, number=3, prompt="a", reference="b", output=str(step))
        for step in range(40)
    )
    with django_assert_num_queries(1):
        assert len(get_output_histories(told)) == 2

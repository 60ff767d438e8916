"""Verdict on the run page: sentence, bars, evidence, remedies that open the form, and the check by a twin."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from dashboard.access import Scope
from dashboard.pages.submit import origins
from jobs import verdicts
from jobs.models import Job, Run, VerdictCheck
from jobs.states.jobs import JobState
from jobs.tracking import external_runs
from tests.jobs.verdicts.conftest import trained  # noqa: F401  (fixture)

SLOW_LINK = ({"communication_s": 0.05}, {})
SLOW_DATA = ({"data_wait_s": 0.06}, {})


def panel(browser, run: Run) -> str:
    answer = browser.get(f"/runs/{run.id}/verdict/")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def test_the_page_shows_the_sentence_four_bars_and_evidence(owner_browser, trained):  # noqa: F811
    run = trained(*SLOW_LINK, state=JobState.SUCCEEDED).run
    text = " ".join(owner_browser.get(f"/runs/{run.id}/").content.decode().split())
    assert "Exposed communication takes 33 % of each step." in text
    for title in ("Compute", "Memory", "Bandwidth", "Power"):
        assert f"<dt>{title}" in text
    assert "least communication_s over the ranks" in text and "strong above 20 %" in text
    alone = panel(
        owner_browser, run
    )  # the same partial for the first paint and for refreshing, but for the form's token
    assert alone[: alone.index("csrfmiddlewaretoken")] in text


def test_the_verdict_of_a_running_job_is_preliminary_and_refreshes(owner_browser, trained):  # noqa: F811
    job = trained(*SLOW_LINK, steps=20)
    text = panel(owner_browser, job.run)
    assert "preliminary" in text and "steady steps so far" in text
    assert f'data-live="run:{job.run.id} job:{job.id}"' in text


@pytest.mark.parametrize(
    ("readings", "title"),
    [({"memory_used_bytes": 7.9 * 2**30}, "Memory nearly full"), ({"cpu_pressure_share": 0.5}, "")],
)
def test_states_are_notices_unless_they_are_provisional_reasons(owner_browser, trained, readings, title):  # noqa: F811
    text = panel(owner_browser, trained({}, {}, readings=readings).run)
    assert ("verdict-state notice" in text) == bool(title) and f"<b>{title}" in text
    assert title or "Preliminary: Other work competes for the cores" in text


def test_remedies_open_the_form_with_the_change_made(owner_browser, trained):  # noqa: F811
    run = trained(*SLOW_LINK).run
    text = panel(owner_browser, run)
    address = f"/submit/?from={run.id}&amp;set=batch.global_batch_size%3D32"
    assert address in text
    form = owner_browser.get(address.replace("&amp;", "&")).content.decode()
    assert 'name="batch.global_batch_size"' in form and 'value="32"' in form
    assert "derived from this run's phases" in text


@pytest.mark.parametrize("change", ["nonsense", "=4", "budget.steps.more=3"])
def test_an_unknown_change_is_not_found(owner_browser, trained, change):  # noqa: F811
    assert owner_browser.get(f"/submit/?from={trained({}).run.id}&set={change}").status_code == 404


def test_a_change_to_an_impossible_value_is_refused_by_the_form(owner_browser, trained):  # noqa: F811
    answer = owner_browser.get(f"/submit/?from={trained({}).run.id}&set=model.layers=-3")
    assert answer.status_code == 200 and "out of range" in answer.content.decode()


def test_a_remedy_without_a_spec_field_has_no_button(owner_browser, trained):  # noqa: F811
    text = panel(owner_browser, trained(*SLOW_DATA).run)
    assert "Feed it faster" in text and "at most" in text and "Try it" not in text


def test_a_run_without_a_verdict_shows_the_reason(owner_browser, make_job, team, owner):
    logged = external_runs.create(team=team, owner=owner, name="logged", origin="mlflow")
    assert "reports neither steps" in panel(owner_browser, logged)
    assert "No step has been made yet." in panel(owner_browser, make_job().run)
    assert "Check this verdict" not in panel(owner_browser, logged)


def test_a_check_is_queued_and_shown_while_it_runs(owner_browser, trained, owner):  # noqa: F811
    run = trained(*SLOW_LINK, state=JobState.SUCCEEDED).run
    assert "Check this verdict" in panel(owner_browser, run)
    answer = owner_browser.post(f"/runs/{run.id}/check-verdict/", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    text, check = panel(owner_browser, run), VerdictCheck.objects.get()
    assert "checking" in text and f"/runs/{check.baseline_id}/" in text
    assert f"job:{check.baseline.job_id}" in text  # the panel moves on when that run does
    assert "Check this verdict" not in text
    again = owner_browser.post(f"/runs/{run.id}/check-verdict/", headers={"HX-Request": "true"})
    assert again.status_code == 409 and "under way" in again.headers["HX-Trigger"]


def test_a_finished_check_compares_prediction_and_observation(owner_browser, trained, owner):  # noqa: F811
    run = trained(*SLOW_LINK, state=JobState.SUCCEEDED).run
    check = verdicts.check_verdict(run, owner)
    VerdictCheck.objects.update(state="done", observed_share=check.predicted_share - 0.02)
    assert "verdict holds" in panel(owner_browser, run) and "2.0 points apart" in panel(owner_browser, run)
    VerdictCheck.objects.update(observed_share=check.predicted_share - 0.2)
    assert "off by more than 5 points" in panel(owner_browser, run)
    for off in (0.2, 0.02):  # also where they agree
        VerdictCheck.objects.update(
            reason="Others competed for the cores.", observed_share=check.predicted_share - off
        )
        assert "inconclusive" in panel(owner_browser, run) and "verdict holds" not in panel(
            owner_browser, run
        )
    VerdictCheck.objects.update(state="failed", reason="The twin was cancelled: by olga")
    assert "The twin was cancelled: by olga" in panel(owner_browser, run)


def test_a_verdict_that_cannot_be_checked_is_refused_with_the_reason(owner_browser, trained):  # noqa: F811
    run = trained(*SLOW_DATA).run
    answer = owner_browser.post(f"/runs/{run.id}/check-verdict/", follow=True)
    assert "no field of a spec changes how fast batches come" in answer.content.decode()
    assert Job.objects.count() == 1


def test_only_users_who_may_submit_may_check(viewer_browser, stranger_browser, trained):  # noqa: F811
    run = trained(*SLOW_LINK).run
    assert "Check this verdict" not in panel(viewer_browser, run)
    for browser in (viewer_browser, stranger_browser):
        assert browser.post(f"/runs/{run.id}/check-verdict/").status_code == 404
    assert stranger_browser.get(f"/runs/{run.id}/verdict/").status_code == 404
    assert Job.objects.count() == 1


def test_the_panel_of_a_stored_verdict_takes_few_queries(owner_browser, trained):  # noqa: F811
    run = trained(*SLOW_LINK, state=JobState.SUCCEEDED).run
    panel(owner_browser, run)
    with CaptureQueriesContext(connection) as seen:
        panel(owner_browser, run)
    assert not [query for query in seen if "jobs_chunk" in query["sql"]]


def test_verdicts_are_columns_of_the_run_table(owner_browser, trained):  # noqa: F811
    verdicts.judge_run(trained(*SLOW_LINK).run)
    columns = "col=verdict&col=limit&col=share&col=severity"
    text = owner_browser.get(f"/runs/?{columns}&filter=limit%20%3D%20bandwidth").content.decode()
    assert "communication" in text and "32.9 %" in text and "strong" in text


def test_the_origin_keeps_its_own_values(owner, trained):  # noqa: F811
    origin = origins.get_origin(Scope(owner), f"run:{trained({}).run.id}")
    values = origins.apply_changes(origin, ["model.layers=8"])
    assert values["model"]["layers"] == 8 and origin.values["model"]["layers"] != 8

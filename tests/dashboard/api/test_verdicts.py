"""Verdicts over the API: as the page shows them, and the check."""

from __future__ import annotations

import pytest

from tests.jobs.verdicts.conftest import trained  # noqa: F401  (fixture)


@pytest.fixture
def run(trained):  # noqa: F811
    return trained({"communication_s": 0.05}, {}).run


def test_a_verdict_is_read_with_its_evidence(owner_browser, run):
    found = owner_browser.get(f"/api/v1/runs/{run.id}/verdict").json()
    assert (found["name"], found["limit"], found["severity"]) == ("communication", "bandwidth", "strong")
    assert found["share"] == pytest.approx(0.33, abs=0.01) and found["check"] is None
    assert found["body"]["findings"][0]["evidence"] and len(found["body"]["bars"]) == 4


def test_a_check_is_asked_for_and_read(owner_browser, run):
    asked = owner_browser.post(f"/api/v1/runs/{run.id}/verdict/check")
    assert asked.status_code == 201 and asked.json()["changes"] == {"batch.global_batch_size": 32}
    again = owner_browser.post(f"/api/v1/runs/{run.id}/verdict/check")
    assert again.status_code == 409 and "under way" in again.json()["detail"]
    assert owner_browser.get(f"/api/v1/runs/{run.id}/verdict").json()["check"]["state"] == "baseline"


def test_a_run_without_a_verdict_gives_the_reason(owner_browser, make_job):
    found = owner_browser.get(f"/api/v1/runs/{make_job().run.id}/verdict").json()
    assert (found["name"], found["share"], found["body"]["nothing"]) == (
        "",
        None,
        "No step has been made yet.",
    )

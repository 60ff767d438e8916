"""Runs of MLflow's own client, live on the pages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.running import Fourwalls

mlflow = pytest.importorskip("mlflow")
pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


def test_a_run_logged_by_mlflow_is_live_until_its_end(
    page: Page, fourwalls: tuple[Fourwalls, str], monkeypatch: pytest.MonkeyPatch
):
    running = fourwalls[0]
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", running.manage("token", "mlflow").stdout.strip())
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(running.url)
    mlflow.set_experiment("browser")
    with mlflow.start_run(run_name="by mlflow") as run:
        page.goto(f"/runs/{run.info.run_id}/charts/")
        expect(page.locator("#charts")).to_contain_text("No metric yet")
        expect(page.locator("[data-link-state]")).to_have_attribute("data-state", "live")
        mlflow.log_metric("train/loss", 4.25, step=1)
        panel = page.locator("[data-metrics='train/loss']")
        expect(panel).to_have_attribute("data-state", "drawn", timeout=15_000)
        mlflow.log_metric("train/loss", 2.125, step=2)
        expect(panel.locator(".legend")).to_contain_text("2.125", timeout=10_000)
        mlflow.log_metric("eval/word error rate", 12, step=2)
        page.get_by_role("button", name="Show 1 new metric").click()
        odd = page.locator("[data-metrics='eval/word%20error%20rate']")
        expect(odd).to_have_attribute("data-state", "drawn", timeout=15_000)
        mlflow.log_text("hello", "notes.txt")
    expect(page.locator("#run-head")).to_contain_text("succeeded", timeout=10_000)
    page.goto(f"/runs/{run.info.run_id}/files/")
    expect(page.locator("#run-files")).to_contain_text("notes.txt")
    page.goto(f"/#/experiments/1/runs/{run.info.run_id}")
    page.wait_for_url(f"**/runs/{run.info.run_id}/")
    page.goto("/runs/")
    expect(page.locator("#runs")).to_contain_text("by mlflow")

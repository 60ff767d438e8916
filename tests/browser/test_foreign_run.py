"""Page of a script that Fourwalls did not launch: hardware, wall clock and verdict."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from tests.fourwalls.foreign import torch_script
from tests.running import ROOT, Fourwalls

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def run_id(fourwalls: tuple[Fourwalls, str]) -> str:
    running = fourwalls[0]
    own = {"FOURWALLS_URL": running.url, "FOURWALLS_TOKEN": running.manage("token", "foreign").stdout.strip(),
           "FOURWALLS_SYSTEM_S": "0.5", "FOURWALLS_DIR": str(running.home / "spools"),
           "PYTHONPATH": str(ROOT)}  # fmt: skip
    code = "import fourwalls, time\n" + torch_script(steps=80, in_data="time.sleep(0.03)")
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | own, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


@pytest.mark.parametrize("width", [1440, 390])
def test_a_script_has_hardware_wall_clock_and_verdict(page: Page, run_id: str, width: int):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(f"/runs/{run_id}/")
    expect(page.locator("#run-verdict")).to_contain_text("Waiting for the next batch")
    page.goto(f"/runs/{run_id}/performance/")
    expect(page.locator("#run-ledger")).to_contain_text("Goodput")
    page.goto(f"/runs/{run_id}/charts/")
    panel = page.locator("[data-metrics^='utilisation_pct']")
    panel.scroll_into_view_if_needed()
    expect(panel).to_have_attribute("data-state", "drawn", timeout=15_000)
    expect(panel.locator(".legend")).to_contain_text("CPU")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

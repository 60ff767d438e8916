"""Plan beside the submit form: step time of probed devices, other devices, nearest plan, search."""

from __future__ import annotations

import html
import json
import re

import pytest

from engine.planner import plan, profile_from_peak
from engine.spec.presets import preset
from engine.spec.spec import Spec
from jobs.models import Device
from tests.dashboard.pages.submit.test_submit_job import CHECK, fields_of
from tests.jobs.finished_jobs import add_profile

pytestmark = pytest.mark.django_db


def panel(browser, spec: Spec, **changed: str) -> str:
    return browser.post(CHECK, fields_of(spec) | changed).json()["plan"]


def fills(text: str) -> list[dict[str, str]]:
    return [json.loads(html.unescape(found)) for found in re.findall(r'data-fill="([^"]+)"', text)]


def test_a_device_without_a_probe_has_memory_and_no_time(owner_browser, node):
    text = panel(owner_browser, preset("demo"))
    assert "framework" in text and "fits" in text
    assert "has not been probed" in text and "Tokens a second" not in text


def test_a_probed_device_has_time_by_phase(owner_browser, node):
    add_profile(Device.objects.get(id="a-0"))
    text = panel(owner_browser, preset("demo"), **{"precision.dtype": "fp32"})
    assert "Tokens per second" in text and "Backward" in text and "measured speeds" in text
    assert "MFU" not in text  # no peak is known of a CPU


def test_other_devices_are_estimated_and_do_not_change_the_pool(owner_browser, node):
    text = panel(owner_browser, preset("1.3b"), **{"plan.device": "H100 SXM"})
    assert "from its data sheet" in text and "MFU" in text and "kWh" in text
    assert "The job still runs in pool default" in text
    assert "80 GiB of a H100 SXM" in text


def test_the_nearest_plan_that_fits_is_a_button(owner_browser, node):
    text = panel(owner_browser, preset("7b"), **{"plan.device": "H100 SXM", "parallel.zero_stage": "0"})
    assert "will not fit" in text
    [found] = fills(text)
    assert found["parallel.zero_stage"] in "123"
    again = panel(owner_browser, preset("7b"), **{"plan.device": "H100 SXM"}, **found)
    assert "will not fit" not in again and ">fits<" in again.replace("</svg>", "")


def test_plans_are_searched_only_on_request(owner_browser, node):
    asked = {"plan.device": "H100 SXM", "plan.devices": "4"}
    assert "plans tried" not in panel(owner_browser, preset("1.3b"), **asked)
    text = panel(owner_browser, preset("1.3b"), **asked, **{"plan.search": "true"})
    assert "plans tried" in text
    rows = fills(text)
    assert len(rows) > 2
    best = panel(owner_browser, preset("1.3b"), **asked, **{"plan.search": "true"}, **rows[0])
    assert ">now<" in best


@pytest.mark.parametrize("wrong", [{"plan.devices": "many"}, {"plan.device": "abacus"}, {"plan.by": "luck"}])
def test_invalid_values_are_ignored(owner_browser, node, wrong):
    text = panel(owner_browser, preset("demo"), **{"plan.search": "true"}, **wrong)
    assert "Memory per device" in text


def test_the_panel_and_the_planner_agree(owner_browser, node):
    text = panel(owner_browser, preset("1.3b"), **{"plan.device": "T4"})
    from engine.hardware.peaks import PEAKS

    t4 = profile_from_peak(next(peak for peak in PEAKS if peak.name == "T4"))
    assert plan(preset("1.3b"), t4).fits() in text

"""The plan beside the submit form: time where devices are known, what-if devices, the nearest plan, better ones."""

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


def test_a_device_that_was_not_probed_has_memory_and_no_time(owner_browser, node):
    said = panel(owner_browser, preset("demo"))
    assert "framework" in said and "fits" in said
    assert "has not been probed" in said and "Tokens a second" not in said


def test_a_probed_device_has_time_by_phase(owner_browser, node):
    add_profile(Device.objects.get(id="a-0"))
    said = panel(owner_browser, preset("demo"), **{"precision.dtype": "fp32"})
    assert "Tokens a second" in said and "Backward" in said and "measured to do" in said
    assert "MFU" not in said  # no peak is known of a CPU


def test_what_if_devices_are_estimated_and_leave_the_pool_alone(owner_browser, node):
    said = panel(owner_browser, preset("1.3b"), **{"plan.device": "H100 SXM"})
    assert "From its data sheet" in said and "MFU" in said and "kWh" in said
    assert "The job still goes to pool default" in said
    assert "80 GiB of a H100 SXM" in said


def test_the_nearest_plan_that_fits_is_a_button(owner_browser, node):
    said = panel(owner_browser, preset("7b"), **{"plan.device": "H100 SXM", "parallel.zero_stage": "0"})
    assert "will not fit" in said
    [found] = fills(said)
    assert found["parallel.zero_stage"] in "123"
    again = panel(owner_browser, preset("7b"), **{"plan.device": "H100 SXM"}, **found)
    assert "will not fit" not in again and ">fits<" in again.replace("</svg>", "")


def test_better_plans_are_searched_only_when_asked_for(owner_browser, node):
    asked = {"plan.device": "H100 SXM", "plan.devices": "4"}
    assert "plans tried" not in panel(owner_browser, preset("1.3b"), **asked)
    said = panel(owner_browser, preset("1.3b"), **asked, **{"plan.search": "true"})
    assert "plans tried" in said
    rows = fills(said)
    assert len(rows) > 2
    best = panel(owner_browser, preset("1.3b"), **asked, **{"plan.search": "true"}, **rows[0])
    assert ">now<" in best


@pytest.mark.parametrize("wrong", [{"plan.devices": "many"}, {"plan.device": "abacus"}, {"plan.by": "luck"}])
def test_odd_wishes_are_answered_as_if_they_were_not_made(owner_browser, node, wrong):
    said = panel(owner_browser, preset("demo"), **{"plan.search": "true"}, **wrong)
    assert "Memory on each device" in said


def test_the_panel_and_the_planner_agree(owner_browser, node):
    said = panel(owner_browser, preset("1.3b"), **{"plan.device": "T4"})
    from engine.hardware.peaks import PEAKS

    t4 = profile_from_peak(next(peak for peak in PEAKS if peak.name == "T4"))
    assert plan(preset("1.3b"), t4).fits() in said

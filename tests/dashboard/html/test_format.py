"""How figures are written, and that what is absent stays absent."""

from __future__ import annotations

import pytest

from dashboard.html import format as units
from dashboard.templatetags.units import unbroken


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (units.as_count, 1_400_000, "1.40 M"),
        (units.as_count, 999, "999"),
        (units.as_count, 0, "0"),
        (units.as_bytes, 1536 * 2**20, "1.50 GiB"),
        (units.as_bytes, 512, "512 B"),
        (units.as_figure, 3.14159, "3.142"),
        (units.as_figure, 0.00012, "0.00012"),
        (units.as_share, 0.4321, "43.2 %"),
        (units.as_duration, 0.04, "40 ms"),
        (units.as_duration, 12.42, "12.4 s"),
        (units.as_duration, 59.97, "1 min"),
        (units.as_duration, 3725, "1 h 2 min"),
        (units.as_duration, 86400, "1 d"),
        (units.as_rough, 98.6, "1 min 39 s"),
        (units.as_whole, 4000, "4,000"),
        (units.as_money, 1234.5, "1,234.50"),
        (units.as_money, 0, "0.00"),
        (units.as_money, 0.00123456, "0.00123"),
    ],
)
def test_a_value_is_short_and_has_its_unit(write, value, text):
    assert write(value) == text


@pytest.mark.parametrize(
    "write",
    [units.as_count, units.as_bytes, units.as_figure, units.as_share, units.as_pct, units.as_duration],
)
def test_an_absent_value_is_a_dash_and_never_nought(write):
    assert write(None) == "–"
    assert write("") == "–"


@pytest.mark.parametrize(("value", "text"), [("NaN", "NaN"), (float("inf"), "∞"), ("-Infinity", "−∞")])
@pytest.mark.parametrize("write", [units.as_count, units.as_figure, units.as_duration, units.as_share])
def test_what_is_not_finite_is_named(write, value, text):
    assert write(value) == text


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("tokens_per_s", 2390.0, "2.39 k/s"),
        ("power_w", 611.4, "611 W"),
        ("temperature_celsius", 58.04, "58.0 °C"),
        ("mfu_share", 0.412, "41.2 %"),
        ("collective_bytes_per_s", 2**21, "2 MiB/s"),
        ("loss", None, "–"),
    ],
)
def test_a_metric_is_written_in_its_own_unit(name, value, text):
    assert units.as_metric(value, name) == text


def test_a_per_cent_sign_stays_with_its_number():
    assert unbroken("costs 10 % or more") == "costs 10\u00a0% or more"

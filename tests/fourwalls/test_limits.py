"""The client's limits are the server's."""

from __future__ import annotations

import random

from dashboard.api.tracking import EXTERNAL_ID
from engine import request_limits
from engine.telemetry import point_limits
from engine.telemetry.clock import BY_NAME
from engine.telemetry.metrics import METRICS, STEP_PHASES
from fourwalls import limits, values
from fourwalls.artefacts import clean_path
from fourwalls.step_clock import BETWEEN_PARTS, STEP_METRICS
from fourwalls.system.device_metrics import DEVICE_METRICS
from jobs.models.artefacts import PATH_LIMIT
from jobs.tracking.artefacts import refuse_bad_path


def test_the_client_has_the_same_constants_as_the_server():
    shared = [name for name in vars(limits) if name.isupper() and name not in ("RUN_ID", "PATH_CHARS")]
    of_points = [name for name in shared if hasattr(point_limits, name)]
    assert (len(shared), len(of_points)) == (12, 6)
    for name in shared:
        source = point_limits if name in of_points else request_limits
        assert getattr(limits, name) == getattr(source, name), name
    assert limits.RUN_ID.pattern == EXTERNAL_ID.pattern
    assert limits.PATH_CHARS == PATH_LIMIT


def test_the_client_names_the_readings_of_a_device_as_the_table_of_metrics_does():
    assert tuple(metric.name for metric in METRICS if metric.scope == "device") == DEVICE_METRICS
    assert set(STEP_METRICS.values()) <= set(STEP_PHASES)
    assert set(BETWEEN_PARTS.values()) <= set(BY_NAME)


def test_the_client_takes_the_metric_names_that_the_server_takes():
    draw = random.Random(7)
    letters = ["a", "Z", "0", "/", " ", ".", "%", "ü", "\t", "\u2028", "\0", "\ud800"]
    for _ in range(500):
        length = draw.choice([0, 1, 2, 249, 250, 251, 9_000])
        name = "".join(draw.choice(letters[: draw.choice([1, 5, 10, 12])]) for _ in range(length))
        assert values.is_metric_name(name) == (not point_limits.name_error(name)), ascii(name[:40])


def test_the_server_takes_every_name_of_a_file_that_the_client_cleans():
    draw = random.Random(8)
    parts = [
        "a",
        "b.txt",
        "..",
        ".",
        "",
        "x" * 300,
        "\u202egnp.exe",
        "half\udcff",
        "nul\0",
        "a\\b",
        "\n",
        "ü",
        " ",
    ]
    for _ in range(500):
        name = "/".join(draw.choice(parts) for _ in range(draw.randint(1, 6)))
        cleaned = clean_path(name)
        refuse_bad_path(cleaned)
        assert clean_path(cleaned) == cleaned

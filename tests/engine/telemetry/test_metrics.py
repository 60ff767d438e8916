"""The table of metrics: each row is measured somewhere, and tested."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from engine.telemetry.metrics import FABRIC_METRICS, METRICS, Metric

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
# Fabric tests form the names of their metrics from a table of algorithms.
NAMED = [metric for metric in METRICS if metric not in FABRIC_METRICS]


def strings_in(paths: Iterable[Path]) -> set[str]:
    """All string constants, parts of f-strings left out."""
    return {
        node.value
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def modules_that_measure(metric: Metric) -> list[Path]:
    folder = ROOT / ("fourwalls/system" if metric.scope == "device" else "engine/rank")
    table = ROOT / "engine/telemetry/metrics.py"
    names = ROOT / "fourwalls/system/device_metrics.py"
    return [path for path in [*folder.rglob("*.py"), ROOT / "engine/scores.py"] if path not in (table, names)]


def test_every_metric_of_the_table_is_measured():
    strings = {metric.scope: strings_in(modules_that_measure(metric)) for metric in NAMED}
    assert not [metric.name for metric in NAMED if metric.name not in strings[metric.scope]]


def test_every_metric_of_the_table_is_tested():
    others = [path for path in (ROOT / "tests/engine").rglob("*.py") if path != Path(__file__)]
    strings = strings_in(others)
    assert not [metric.name for metric in NAMED if metric.name not in strings]


def test_names_are_unique_and_rows_are_complete():
    assert not [name for name, count in Counter(metric.name for metric in METRICS).items() if count > 1]
    assert all(metric.label and metric.meaning for metric in METRICS)

"""The tables of docs/coming-from.md, each run as a script."""

from __future__ import annotations

import re

import pytest

from tests.running import ROOT

pytestmark = pytest.mark.slow

DOCUMENT = (ROOT / "docs/coming-from.md").read_text()
SECTIONS = {
    title: re.findall(r"^\|.*\| `(.+)` \|$", body, re.MULTILINE)
    for title, body in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
}


def test_every_tracker_has_a_table():
    assert {"W&B", "MLflow", "TensorBoard", "Neptune", "ClearML"} == SECTIONS.keys()
    assert all(len(lines) > 7 for lines in SECTIONS.values())


@pytest.mark.parametrize("tracker", SECTIONS)
def test_the_right_column_runs_from_top_to_bottom(tracker, script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    process = script("\n".join(SECTIONS[tracker]))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    for word in ("not logged", "no effect", "Not saved", "refused", "ignores"):
        assert word not in err, err

"""Words on pages and in docs: those that people know from other trackers, and none of the old ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Old wording, and what stands for it now
REPLACED = {
    r"Leave it(?! out)": "Keep running", r"\bGo on\b": "the verb of the button",
    "As usual": "Reset to default",
    "What a filter can say": "Filter syntax", "All at once": "Parallel coordinates", "Two goals": "Scatter",
    r"\bon the front\b(?!:)": "Pareto-optimal", "Many values": "Sweep", r"\bAt once\b": "Parallel runs",
    "Judged by(?! the)": "Objective metric", "Better is": "Goal", r"\bthings? to mend\b": "errors",
    "Better plans": "Find a faster plan", "Tokens a step": "Tokens per step", "step border": "next step",
    "What happened": "Timeline", "Held but unused": "Idle allocation", "as it should be": "No bottleneck",
    "What it writes": "Sample outputs", "points a bucket": "averaged by n",
    "Why they differ": "Performance differences",
    "Starts by": "Starts no later than", "Test the links": "Benchmark interconnect",
    "Gangs over nodes": "Multi-node jobs",
    "What the pool allows": "Limits and prices", "To borrow": "Borrowable", "What they can do": "Measured speeds",
    "Learnt so far": "Calibration", "Within its span": "Inside predicted range", "Throw the draft": "Discard",
    "May be used for": "Valid for (hours)", "There is no such page": "Page not found, or no access",
}  # fmt: skip
COMMENTS = re.compile(
    r"/\*.*?\*/|(?<!:)//[^\n]*|\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}|<!--.*?-->", re.DOTALL
)


def texts() -> dict[str, str]:
    """Path -> what people read: templates, scripts without comments, docs without the decisions."""
    found = [
        *ROOT.glob("templates/**/*.html"),
        *ROOT.glob("dashboard/static/js/**/*.js"),
        *ROOT.glob("docs/*.md"),
    ]
    return {
        str(path.relative_to(ROOT)): COMMENTS.sub("", path.read_text())
        for path in [*found, ROOT / "README.md"]
    }


@pytest.mark.parametrize("old", REPLACED)
def test_old_wording_is_gone(old: str):
    places = [path for path, text in texts().items() if re.search(old, text)]
    assert not places, f"'{old}' is now '{REPLACED[old]}'"


def test_scripts_and_templates_are_read():
    assert len(texts()) > 150

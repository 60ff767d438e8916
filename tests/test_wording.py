"""Words on pages, in sentences of the code and in docs: the field's, and none of the old ones."""

from __future__ import annotations

import ast
import re
from functools import cache
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
    r"\b[Ss]teps? (?:was |were |is |are )?made again": "repeated", "Steps made(?! by)": "Steps run",
    r"Number format(?!s)": "Precision", "Choose all": "Select all", "Training goes on": "Training continues",
    r"\bis away now": "cannot be reached now", "Largest gang": "Largest job", "gang did not start": "multi-node job",
    "none here": "Not in your pools", "to be decided": "Needs review", "Time of a step": "Step time",
    "every point": "Averaged by n", "Whole run": "Reset zoom", r"\bTo the (?:jobs|runs|list)": "Back to",
    "Touched": "Affected jobs", "in line for": "Queued", "Nothing to mend": "No errors",
}  # fmt: skip
COMMENTS = re.compile(
    r"/\*.*?\*/|(?<!:)//[^\n]*|\{#.*?#\}|\{% comment %\}.*?\{% endcomment %\}|<!--.*?-->", re.DOTALL
)


SOURCES = ("dashboard", "jobs", "engine", "fourwalls")


def sentences(source: str) -> str:
    """The texts in a Python module, one a line, without its docstrings."""
    tree = ast.parse(source)
    bodies = [
        node.body
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    first = [body[0].value for body in bodies if body and isinstance(body[0], ast.Expr)]
    found = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join(node.value for node in found if node not in first)


@cache
def texts() -> dict[str, str]:
    """Path -> what people read: templates, sentences of Python modules, scripts without comments, docs without the
    decisions."""
    found = [
        *ROOT.glob("templates/**/*.html"),
        *ROOT.glob("dashboard/static/js/**/*.js"),
        *ROOT.glob("docs/*.md"),
    ]
    modules = [
        path for name in SOURCES for path in ROOT.glob(f"{name}/**/*.py") if "migrations" not in path.parts
    ]
    return {
        str(path.relative_to(ROOT)): COMMENTS.sub("", path.read_text())
        for path in [*found, ROOT / "README.md"]
    } | {str(path.relative_to(ROOT)): sentences(path.read_text()) for path in modules}


@pytest.mark.parametrize("old", REPLACED)
def test_old_wording_is_gone(old: str):
    places = [path for path, text in texts().items() if re.search(old, text)]
    assert not places, f"'{old}' is now '{REPLACED[old]}'"


def test_scripts_templates_and_modules_are_read():
    assert len(texts()) > 600
    assert "Precision fp32" in texts()["engine/rank/train/precision.py"]

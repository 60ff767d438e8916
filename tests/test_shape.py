"""Files that say one thing and functions that fit a screen; what is over stands here with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 300
FUNCTION_LINES = 50

# path or path::function -> why it may be longer
EXCEPTIONS: dict[str, str] = {}


def sources() -> Iterator[Path]:
    for package in ("engine", "jobs", "dashboard", "fourwalls"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield path


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def too_long() -> dict[str, int]:
    found: dict[str, int] = {}
    for path in sources():
        name = str(path.relative_to(ROOT))
        if (lines := len(path.read_text().splitlines())) > FILE_LINES:
            found[name] = lines
        for node in functions_of(path):
            if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES:
                found[f"{name}::{node.name}"] = lines
    return found


def test_what_is_too_long_has_a_reason():
    over = too_long()
    for name, reason in EXCEPTIONS.items():
        print(f"{name}: {over.get(name, 0)} lines: {reason}")
    assert {name: lines for name, lines in over.items() if name not in EXCEPTIONS} == {}


def test_no_exception_is_kept_that_is_not_needed():
    assert set(EXCEPTIONS) <= set(too_long())


def test_every_module_says_in_its_first_line_what_lives_there():
    silent = [
        str(path.relative_to(ROOT))
        for path in sources()
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_broad_excepts_stand_only_in_loops_that_must_live():
    """Each carries `noqa: BLE001` with its reason; ruff refuses the others."""
    marked = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sources()
        for line in path.read_text().splitlines()
        if "BLE001" in line and not line.split("BLE001")[1].strip(" -:()")
    ]
    assert not marked

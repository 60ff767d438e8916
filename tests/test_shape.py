"""Limits on the structure of the source: packages, imports, sizes and module docstrings."""

from __future__ import annotations

import ast
import re

import pytest

from tests.import_graph import circles, two_way_pairs
from tests.source_tree import source_modules
from tests.structure import LOOSE_MODULES, TOPS, long_files, long_functions, loose_modules

# path or path::function -> why it may be longer
EXCEPTIONS: dict[str, str] = {}
# "jobs/a <-> jobs/b" -> why these two packages may import each other
TWO_WAY_PAIRS: dict[str, str] = {}

DOCSTRING_CHARACTERS = 80
QUESTION = re.compile(r"(How|What|When|Where|Whether|Which|Who|Why)\b")
ABBREVIATIONS = re.compile(r"\b(e\.g|i\.e|vs|cf|etc)\.")


def too_long() -> dict[str, int]:
    return long_files(source_modules()) | long_functions(source_modules())


@pytest.mark.parametrize("top", TOPS)
def test_a_top_folder_holds_few_loose_modules(top: str):
    loose = loose_modules(source_modules())[top]
    assert len(loose) <= LOOSE_MODULES, f"{top}/ holds {len(loose)} modules: {', '.join(loose)}"


def test_no_modules_import_each_other_in_a_circle():
    found = circles(source_modules())
    assert not found, "\n".join(f"circle of {len(group)}: {', '.join(group)}" for group in found)


def test_packages_that_import_each_other_have_a_reason():
    found = two_way_pairs(source_modules())
    unexplained = [
        f"{pair}: {each}" for pair, smaller in found.items() if pair not in TWO_WAY_PAIRS for each in smaller
    ]
    assert not unexplained, "\n".join(unexplained)
    assert set(TWO_WAY_PAIRS) <= set(found), "an exception is no longer needed"


def test_every_long_file_and_function_has_a_reason():
    over = too_long()
    for name, reason in EXCEPTIONS.items():
        print(f"{name}: {over.get(name, 0)} lines: {reason}")
    assert {name: lines for name, lines in over.items() if name not in EXCEPTIONS} == {}


def test_every_exception_is_still_needed():
    assert set(EXCEPTIONS) <= set(too_long())


def test_every_module_has_a_docstring():
    without = [str(m.path) for m in source_modules() if m.text.strip() and not ast.get_docstring(m.tree)]
    assert not without


def docstring_problem(docstring: str) -> str:
    """The problem of the first line of a module docstring; empty if there is none."""
    line, _, rest = docstring.partition("\n")
    if len(line) > DOCSTRING_CHARACTERS:
        return f"{len(line)} characters"
    if line[:1].islower():
        return "starts with a lower-case letter"
    if QUESTION.match(line):
        return "starts with a question word"
    if ";" in line:
        return "holds a semicolon"
    if re.search(r"[.!?]['\")`]*\s+\S", ABBREVIATIONS.sub("", line)):
        return "holds more than one sentence"
    if rest.partition("\n")[0].strip():
        return "continues on the second line"
    return ""


def test_the_first_line_of_a_module_docstring_is_a_short_noun_phrase():
    problems = [
        f"{module.path}:1 {problem}: {docstring.splitlines()[0]}"
        for module in source_modules()
        if (docstring := ast.get_docstring(module.tree)) and (problem := docstring_problem(docstring))
    ]
    assert not problems, f"{len(problems)} modules:\n" + "\n".join(problems)


@pytest.mark.parametrize(
    ("docstring", "problem"),
    [
        ("Parsed Python sources of a tree.", ""),
        ("Rules of thumb, e.g. of the memory wall\n\nWith figures; measured.", ""),
        ("X" * 81, "81 characters"),
        ("rows of a table", "starts with a lower-case letter"),
        ("How a table gets its rows.", "starts with a question word"),
        ("Rows; columns", "holds a semicolon"),
        ("Rows. Columns.", "holds more than one sentence"),
        ("Rows of a table,\nand its columns.", "continues on the second line"),
    ],
)
def test_docstring_problems_are_recognised(docstring: str, problem: str):
    assert docstring_problem(docstring) == problem


def test_every_broad_except_has_a_reason():
    """Each `noqa: BLE001` states its reason; ruff refuses broad excepts without it."""
    marked = [
        f"{module.path}: {line.strip()}"
        for module in source_modules()
        for line in module.text.splitlines()
        if "BLE001" in line and not line.split("BLE001")[1].strip(" -:()")
    ]
    assert not marked

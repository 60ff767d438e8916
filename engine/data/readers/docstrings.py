"""Docstrings of installed Python packages: summaries and parameters."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from engine.data.examples import Example
from engine.data.readers import python

# Well-documented dependencies of the engine, all under the BSD licence.
PACKAGES = ("django", "networkx", "numpy", "sympy")
NUMPY_STYLE = PACKAGES[1:]  # packages that document each parameter; Django and the standard library do not
LEFT_OUT = {"test", "tests", "testing", "benchmarks", "__pycache__"}
BODY_CHARS = range(40, 2000)
CODE_CHARS = range(20, 4000)
SUMMARY_CHARS = range(12, 160)
# A section of a docstring in NumPy's style (https://numpydoc.readthedocs.io): a title, underlined.
SECTION = re.compile(r"^Parameters\n[-=]+\n(.*?)(?=\n\n\S[^\n]*\n[-=]+\n|\Z)", re.MULTILINE | re.DOTALL)
UNDERLINE = re.compile(r"[-=]{4}")
PARAMETER = re.compile(r"^(\w+) ?: ([^\n]{2,80})\n((?:[ \t]+\S[^\n]*\n?|\n)+)", re.MULTILINE)
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def read_summaries() -> Iterator[Example]:
    """Yield the body of each docstring with its summary line as target."""
    for _, text in _iterate_docstrings(_all_sources()):
        summary, body = _split_summary(text)
        if len(summary) in SUMMARY_CHARS and len(body) in BODY_CHARS and not _is_markup(body):
            yield Example(body, summary)


def read_code_summaries() -> Iterator[Example]:
    """Yield the source of each function without its docstring, with the summary line as target."""
    for node, text, lines in _iterate_documented(_all_sources()):
        summary, _ = _split_summary(text)
        source = _without_docstring(node, lines)
        if isinstance(node, ast.ClassDef) or UNDERLINE.search(summary):
            continue
        if len(summary) in SUMMARY_CHARS and len(source) in CODE_CHARS:
            yield Example(source, summary)


def read_questions() -> Iterator[Example]:
    """Yield a question that quotes the description of a parameter, with the documented type as target."""
    for name, text in _iterate_docstrings(_package_sources(NUMPY_STYLE)):
        for section in SECTION.findall(text):
            for parameter, answer, text_lines in PARAMETER.findall(section + "\n"):
                description = " ".join(text_lines.split())
                if len(description) in BODY_CHARS:
                    question = f"What is {parameter} of {name}? {description}"
                    yield Example(question, answer.strip().rstrip("."))


def describe_versions() -> str:
    """Return the versions of the packages."""
    return " ".join(f"{name}={importlib.metadata.version(name)}" for name in PACKAGES)


def missing_reason() -> str:
    """Return why the corpus is not on this machine and how to install it; empty if it is available."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return (
        f"This corpus is not on this machine: it reads the documentation of {', '.join(PACKAGES)}, and "
        f"{', '.join(missing)} is not installed. Run `pip install {' '.join(missing)}`."
    )


def _is_markup(body: str) -> bool:
    """Whether the text is a table of parameters or an interpreter session."""
    first = body.split("\n", 2)
    return body.startswith(">>>") or (len(first) > 1 and set(first[1]) <= {"-", "="} and bool(first[1]))


def _split_summary(text: str) -> tuple[str, str]:
    """Split a docstring into its first paragraph as one line, and the rest."""
    summary, _, body = text.partition("\n\n")
    return " ".join(summary.split()), body.strip()


def _without_docstring(node: Documented, lines: list[str]) -> str:
    """Return the source of a function without decorators, docstring and common indentation."""
    docstring = node.body[0]
    assert docstring.end_lineno
    head, body = lines[node.lineno - 1 : docstring.lineno - 1], lines[docstring.end_lineno : node.end_lineno]
    return textwrap.dedent("\n".join(head + body)).strip()


def _iterate_docstrings(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, docstring) of every public function and class."""
    for node, docstring, _ in _iterate_documented(files):
        if not node.name.startswith("_"):
            yield node.name, docstring


def _iterate_documented(files: Iterable[str]) -> Iterator[tuple[Documented, str, list[str]]]:
    """Yield (node, docstring, lines of its file) of every function and class with a docstring."""
    for text in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in the packages' strings
            try:
                tree = ast.parse(text)
            except SyntaxError:
                continue
        lines = text.split("\n")
        for node in ast.walk(tree):
            if isinstance(node, Documented) and (docstring := ast.get_docstring(node, clean=False)):
                yield node, inspect.cleandoc(docstring), lines


def _all_sources() -> Iterator[str]:
    yield from (text for _, text in python.read_modules())
    yield from _package_sources(PACKAGES)


def _package_sources(packages: Iterable[str]) -> Iterator[str]:
    for package in packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            if not LEFT_OUT & set(path.relative_to(root).parts):
                yield path.read_text(encoding="utf-8")

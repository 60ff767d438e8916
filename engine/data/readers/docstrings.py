"""Documentation in source code: what functions and classes say of themselves, and of their parameters."""

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

# Dependencies of a machine that trains, which document their code well; all under the BSD licence.
PACKAGES = ("django", "networkx", "numpy", "sympy")
NUMPY_STYLE = PACKAGES[1:]  # who documents each parameter; neither Django nor Python's own library does
LEFT_OUT = {"test", "tests", "testing", "benchmarks", "__pycache__"}
BODY_CHARS = range(40, 2000)
CODE_CHARS = range(20, 4000)
SUMMARY_CHARS = range(12, 160)
# A section of a docstring in NumPy's style (https://numpydoc.readthedocs.io): a title, underlined.
SECTION = re.compile(r"^Parameters\n[-=]+\n(.*?)(?=\n\n\S[^\n]*\n[-=]+\n|\Z)", re.MULTILINE | re.DOTALL)
UNDERLINE = re.compile(r"[-=]{4}")
PARAMETER = re.compile(r"^(\w+) ?: ([^\n]{2,80})\n((?:[ \t]+\S[^\n]*\n?|\n)+)", re.MULTILINE)
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def summaries() -> Iterator[Example]:
    """The body of each docstring, and the line above it that says the same in short."""
    for _, text in _docstrings(_files()):
        summary, body = _parted(text)
        if len(summary) in SUMMARY_CHARS and len(body) in BODY_CHARS and not _is_markup(body):
            yield Example(body, summary)


def code() -> Iterator[Example]:
    """Functions without their documentation, and the first line of what it says."""
    for node, text, lines in _documented(_files()):
        summary, _ = _parted(text)
        source = _without_docstring(node, lines)
        if isinstance(node, ast.ClassDef) or UNDERLINE.search(summary):
            continue
        if len(summary) in SUMMARY_CHARS and len(source) in CODE_CHARS:
            yield Example(source, summary)


def questions() -> Iterator[Example]:
    """What a parameter is, asked with the words that describe it, and the answer that its documentation gives."""
    for name, text in _docstrings(_of_packages(NUMPY_STYLE)):
        for section in SECTION.findall(text):
            for parameter, answer, told in PARAMETER.findall(section + "\n"):
                described = " ".join(told.split())
                if len(described) in BODY_CHARS:
                    asked = f"What is {parameter} of {name}? {described}"
                    yield Example(asked, answer.strip().rstrip("."))


def versions() -> str:
    return " ".join(f"{name}={importlib.metadata.version(name)}" for name in PACKAGES)


def absent() -> str:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    return (
        f"This corpus is not on this machine: it reads the documentation of {', '.join(PACKAGES)}, and "
        f"{', '.join(missing)} is not installed. `pip install {' '.join(missing)}` brings it."
    )


def _is_markup(body: str) -> bool:
    """Whether it is a table of parameters or a session with the interpreter rather than a text."""
    first = body.split("\n", 2)
    return body.startswith(">>>") or (len(first) > 1 and set(first[1]) <= {"-", "="} and bool(first[1]))


def _parted(text: str) -> tuple[str, str]:
    """What a docstring says first, in one line, and the rest."""
    summary, _, body = text.partition("\n\n")
    return " ".join(summary.split()), body.strip()


def _without_docstring(node: Documented, lines: list[str]) -> str:
    """Decorators are left out too, and so is the indentation that all lines share."""
    said = node.body[0]
    assert said.end_lineno
    head, body = lines[node.lineno - 1 : said.lineno - 1], lines[said.end_lineno : node.end_lineno]
    return textwrap.dedent("\n".join(head + body)).strip()


def _docstrings(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(name, docstring) of every public function and class."""
    for node, said, _ in _documented(files):
        if not node.name.startswith("_"):
            yield node.name, said


def _documented(files: Iterable[str]) -> Iterator[tuple[Documented, str, list[str]]]:
    """Every function and class with a docstring, and the lines of its file."""
    for text in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in other people's strings
            try:
                tree = ast.parse(text)
            except SyntaxError:
                continue
        lines = text.split("\n")
        for node in ast.walk(tree):
            if isinstance(node, Documented) and (said := ast.get_docstring(node, clean=False)):
                yield node, inspect.cleandoc(said), lines


def _files() -> Iterator[str]:
    yield from (text for _, text in python.modules())
    yield from _of_packages(PACKAGES)


def _of_packages(packages: Iterable[str]) -> Iterator[str]:
    for package in packages:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            if not LEFT_OUT & set(path.relative_to(root).parts):
                yield path.read_text(encoding="utf-8")

"""Documentation in source code: what functions and classes say of themselves, and of their parameters."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

from engine.data.examples import Example
from engine.data.readers import python

# Dependencies of a machine that trains, which document their code well; all under the BSD licence.
PACKAGES = ("django", "networkx", "numpy", "sympy")
LEFT_OUT = {"test", "tests", "testing", "benchmarks", "__pycache__"}
BODY_CHARS = range(40, 2000)
SUMMARY_CHARS = range(12, 160)
# A section of a docstring in NumPy's style (https://numpydoc.readthedocs.io): a title, underlined.
SECTION = re.compile(r"^Parameters\n[-=]+\n(.*?)(?=\n\n\S[^\n]*\n[-=]+\n|\Z)", re.MULTILINE | re.DOTALL)
PARAMETER = re.compile(r"^(\w+) ?: ([^\n]{2,80})\n((?:[ \t]+\S[^\n]*\n?|\n)+)", re.MULTILINE)


def summaries() -> Iterator[Example]:
    """The body of each docstring, and the line above it that says the same in short."""
    for _, text in _docstrings():
        summary, blank, body = text.partition("\n\n")
        summary, body = " ".join(summary.split()), body.strip()
        if blank and len(summary) in SUMMARY_CHARS and len(body) in BODY_CHARS and not _is_markup(body):
            yield Example(body, summary)


def questions() -> Iterator[Example]:
    """What a parameter is, asked with the words that describe it, and the answer that its documentation gives."""
    for name, text in _docstrings():
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


def _docstrings() -> Iterator[tuple[str, str]]:
    """(name, docstring) of every public function and class."""
    for text in _files():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in other people's strings
            try:
                tree = ast.parse(text)
            except SyntaxError:
                continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                said = ast.get_docstring(node, clean=False)
                if said and not node.name.startswith("_"):
                    yield node.name, inspect.cleandoc(said)


def _files() -> Iterator[str]:
    yield from (text for _, text in python.modules())
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        root = Path(spec.origin).parent
        for path in sorted(root.rglob("*.py")):
            if not LEFT_OUT & set(path.relative_to(root).parts):
                yield path.read_text(encoding="utf-8")

"""Regular expressions of the whole source: none takes more than linear time on generated hostile texts.

Each pattern is parsed; texts are made of the characters that its own repeated parts accept, followed by one that ends
no match. A text of twice the length may take little more than twice the time.
"""

from __future__ import annotations

import ast
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

try:
    from re import _constants as constants
    from re import _parser as parser
except ImportError:  # Python 3.10
    import sre_constants as constants  # type: ignore[no-redef]
    import sre_parse as parser  # type: ignore[no-redef]

SEED = 20261130
PACKAGES = ("engine", "jobs", "dashboard", "fourwalls")
# Patterns of texts that no user writes: output of pip, names of our own settings
OURS = ("dashboard/server/install.py", "dashboard/server/settings_reference.py")
CHARS = {constants.CATEGORY_SPACE: " \t", constants.CATEGORY_DIGIT: "01", constants.CATEGORY_WORD: "a1_"}
ENDINGS = ("\x01", "!", "\n\n", "")
SIZE, TEXTS = 3_000, 40


def find_patterns() -> dict[str, tuple[str, int, str]]:
    """Place -> (pattern, flags, method), for every pattern that is a constant in a call of `re`."""
    found = {}
    root = Path(settings.BASE_DIR)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            relative = str(path.relative_to(root))
            if relative in OURS or relative.startswith("engine/rank/"):
                continue
            module = None
            for node in ast.walk(ast.parse(path.read_text())):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "re" and node.args):
                    continue
                text = _constant(node.args[0])
                if text is None and node.func.attr == "compile":  # built from parts: ask the module
                    module = module or __import__(relative[:-3].replace("/", "."), fromlist=["x"])
                    for name, value in vars(module).items():
                        if isinstance(value, re.Pattern):
                            found[f"{relative}:{name}"] = (value.pattern, value.flags, "search")
                elif text is not None and node.func.attr != "escape":
                    flags = _flags(node)
                    found[f"{relative}:{node.lineno}"] = (text, flags, node.func.attr)
    return found


def _constant(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _flags(call: ast.Call) -> int:
    given = [ast.unparse(one) for one in [*call.args[1:], *(k.value for k in call.keywords)]]
    names = [name for text in given for name in re.findall(r"re\.([A-Z]+)", text)]
    return sum({int(getattr(re, name)) for name in names})


PATTERNS = find_patterns()


def pieces(parsed: Any) -> Iterator[str]:
    """Short texts that parts of a parsed pattern accept, longest first wherever parts follow each other."""
    whole = ""
    for kind, value in parsed:
        part = ""
        if kind is constants.LITERAL:
            part = chr(value)
        elif kind in (constants.ANY, constants.NOT_LITERAL):
            part = "a"
        elif kind is constants.IN:
            part = _of_class(value)
        elif kind in (
            constants.MAX_REPEAT,
            constants.MIN_REPEAT,
            getattr(constants, "POSSESSIVE_REPEAT", None),
        ):
            below = list(pieces(value[2]))
            yield from below
            part = (below[-1] if below else "") * max(1, min(value[0], 3))
        elif kind is constants.SUBPATTERN:
            below = list(pieces(value[-1]))
            yield from below
            part = below[-1] if below else ""
        elif kind is constants.BRANCH:
            for branch in value[1]:
                below = list(pieces(branch))
                yield from below
                part = part or (below[-1] if below else "")
        elif kind is getattr(constants, "ATOMIC_GROUP", None):
            below = list(pieces(value))
            yield from below
            part = below[-1] if below else ""
        whole += part
        if part:
            yield part
    yield whole


def _of_class(members: Any) -> str:
    negated = any(kind is constants.NEGATE for kind, _ in members)
    for kind, value in members:
        if negated:
            continue
        if kind is constants.LITERAL:
            return chr(value)
        if kind is constants.RANGE:
            return chr(value[0])
        if kind is constants.CATEGORY:
            return CHARS.get(value, "a")[0]
    excluded = {chr(value) for kind, value in members if kind is constants.LITERAL}
    return next(letter for letter in "a1 .-\x02" if letter not in excluded)


def hostile_texts(pattern: str, flags: int, drawn: random.Random) -> Iterator[tuple[str, str]]:
    """Pairs of a repeated piece and an ending."""
    parsed = parser.parse(pattern, flags)
    known = sorted({piece for piece in pieces(parsed) if 0 < len(piece) <= 30}) or ["aB"]
    for piece in known:
        yield piece, "\x01"
    for _ in range(TEXTS):
        yield "".join(drawn.choice(known) for _ in range(drawn.randrange(1, 4))), drawn.choice(ENDINGS)


def seconds(compiled: re.Pattern[str], method: str, text: str) -> float:
    run = {
        "compile": lambda: (compiled.match(text), compiled.fullmatch(text)),
        "sub": lambda: compiled.sub("", text),
        "split": lambda: compiled.split(text),
        "findall": lambda: compiled.findall(text),
    }.get(method, lambda: getattr(compiled, method)(text))
    best = float("inf")
    for _ in range(2):
        began = time.thread_time()
        run()
        best = min(best, time.thread_time() - began)
        if best > 0.5:
            break
    return best


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", sorted(PATTERNS))
def test_a_pattern_takes_linear_time(place):
    pattern, flags, method = PATTERNS[place]
    if isinstance(pattern, bytes):  # the same pattern of characters takes the same time
        pattern = pattern.decode("latin-1")
    compiled = re.compile(pattern, flags)
    drawn = random.Random(SEED)
    for piece, ending in hostile_texts(pattern, flags & ~re.UNICODE.value, drawn):
        short = piece * (SIZE // len(piece)) + ending
        took = seconds(compiled, method, short)
        if took < 0.001:  # far from quadratic: 3,000 characters squared take some 50 ms
            continue
        longer = seconds(compiled, method, piece * (4 * SIZE // len(piece)) + ending)
        assert longer < 8 * took, f"{piece!r} x n + {ending!r}: {took:.4f} s, then {longer:.4f} s for 4 n"


def test_the_patterns_of_the_source_are_found():
    assert len(PATTERNS) > 40
    assert any("mlflow/filtering/grammar" in place for place in PATTERNS)


QUADRATIC = {r"\d+\.?\d*x": "compile", r"\s*\s*x": "compile", r"\s+and\s+": "search"}


@pytest.mark.parametrize("pattern", QUADRATIC)
def test_a_quadratic_pattern_would_be_found(pattern, monkeypatch):
    monkeypatch.setitem(PATTERNS, "bad", (pattern, 0, QUADRATIC[pattern]))
    with pytest.raises(AssertionError, match=r"for 4 n"):
        test_a_pattern_takes_linear_time("bad")

"""Parsed Python modules of a source tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DEFINITIONS = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, eq=False)
class Module:
    path: Path  # relative to the root of its tree
    text: str
    tree: ast.Module

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def name(self) -> str:
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if self.is_package else parts)

    @property
    def num_lines(self) -> int:
        return len(self.text.splitlines())


Modules = tuple[Module, ...]


@cache
def source_modules(root: Path = REPOSITORY) -> Modules:
    """The modules of every top-level package except tests, without generated migrations."""
    packages = [p.parent for p in sorted(root.glob("*/__init__.py")) if p.parent.name != "tests"]
    paths = [path for package in packages for path in sorted(package.rglob("*.py"))]
    return tuple(_parse(path, root) for path in paths if "migrations" not in path.parts)


def _parse(path: Path, root: Path) -> Module:
    text = path.read_text()
    return Module(path.relative_to(root), text, ast.parse(text))


def statements_below(node: ast.AST) -> Iterator[ast.AST]:
    """Child nodes that may contain statements; expressions do not."""
    return (child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr))

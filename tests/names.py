"""Names defined in Python modules, and visible texts in templates, with their positions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.source_tree import DEFINITIONS, Module, Modules

CAMEL_CASE = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
TEXT_ATTRIBUTE = re.compile(r"""\b(?:title|placeholder|aria-label|alt)=(?:"([^"]*)"|'([^']*)')""")
QUOTED = re.compile(r""""([^"]*)"|'([^']*)'""")
# Templates: patterns of what is not text, in the order of removal
COMMENT = re.compile(
    r"\{#.*?#\}|\{% comment.*?endcomment %\}|<!--.*?-->|<(script|style)\b.*?</\1>", re.DOTALL
)
VARIABLE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
TAG = re.compile(r"\{%(.*?)%\}", re.DOTALL)
ELEMENT = re.compile(r"</?[a-zA-Z][^>]*>", re.DOTALL)


@dataclass(frozen=True)
class Name:
    kind: str  # module, class, function, attribute (of a class) or variable (of a module)
    text: str
    path: Path
    line: int

    @property
    def words(self) -> frozenset[str]:
        return words_of(self.text)

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.kind} {self.text}"


def words_of(name: str) -> frozenset[str]:
    """`HTTPWish_headers` -> http, wish, headers."""
    return frozenset(word.lower() for word in CAMEL_CASE.findall(name))


def defined_names(modules: Modules) -> list[Name]:
    """Modules, classes, functions and methods, public attributes of classes, public variables of modules."""
    found: list[Name] = []
    for module in modules:
        own = module.path.parent if module.is_package else module.path
        found.append(Name("module", own.stem, module.path, 1))
        found.extend(_definitions(module))
        found.extend(_assigned(module.tree.body, "variable", module.path))
    return found


def _definitions(module: Module) -> Iterator[Name]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            yield Name("class", node.name, module.path, node.lineno)
            yield from _attributes(node, module.path)
        elif isinstance(node, DEFINITIONS):
            yield Name("function", node.name, module.path, node.lineno)


def _attributes(node: ast.ClassDef, path: Path) -> Iterator[Name]:
    seen: set[str] = set()
    for name in (*_assigned(node.body, "attribute", path), *_assigned_to_self(node, path)):
        if name.text not in seen:
            seen.add(name.text)
            yield name


def _assigned(body: list[ast.stmt], kind: str, path: Path) -> Iterator[Name]:
    for target in _targets(body):
        if isinstance(target, ast.Name) and not target.id.startswith("_"):
            yield Name(kind, target.id, path, target.lineno)


def _assigned_to_self(node: ast.ClassDef, path: Path) -> Iterator[Name]:
    for method in node.body:
        if isinstance(method, DEFINITIONS):
            for target in _targets(each for each in ast.walk(method) if isinstance(each, ast.stmt)):
                own = isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"
                if own and not target.attr.startswith("_"):
                    yield Name("attribute", target.attr, path, target.lineno)


def _targets(statements: list[ast.stmt] | Iterator[ast.stmt]) -> Iterator[ast.expr]:
    for statement in statements:
        if isinstance(statement, ast.AnnAssign):
            yield statement.target
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from target.elts if isinstance(target, ast.Tuple) else [target]


def page_texts(template: str) -> str:
    """Visible words of a template, each on its line: text, tooltips, labels and quoted defaults."""
    text = COMMENT.sub(_blank, template)
    text = VARIABLE.sub(lambda match: _keep(match, QUOTED.findall(match.group(1))), text)
    text = TAG.sub(lambda match: _keep(match, _sentences(match.group(1))), text)
    return ELEMENT.sub(lambda match: _keep(match, TEXT_ATTRIBUTE.findall(match.group())), text)


def _sentences(code: str) -> list[tuple[str, ...]]:
    """Quoted strings of several words; a single word in a template tag is a path or a value."""
    return [pair for pair in QUOTED.findall(code) if " " in "".join(pair)]


def _blank(match: re.Match[str]) -> str:
    return " " + "\n" * match.group().count("\n")


def _keep(match: re.Match[str], pairs: list[tuple[str, ...]]) -> str:
    return " ".join("".join(pair).replace("\n", " ") for pair in pairs) + _blank(match)

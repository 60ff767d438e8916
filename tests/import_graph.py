"""Imports between the modules of a tree: circles, and packages that import each other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.source_tree import Module, Modules, statements_below


@dataclass(frozen=True)
class Import:
    source: str
    target: str
    where: str  # path:line
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.where} {self.source} -> {self.target}"


@cache
def imports(modules: Modules) -> tuple[Import, ...]:
    """Imports between these modules, including deferred ones but not the implicit ones of parent packages."""
    known = {module.name for module in modules}
    found: list[Import] = []
    for module in modules:
        for node, typing_only in _import_nodes(module.tree):
            for name in _imported_names(node, module):
                target = _longest_known(name, known)
                if target and target != module.name:
                    found.append(Import(module.name, target, f"{module.path}:{node.lineno}", typing_only))
    return tuple(found)


def _import_nodes(
    node: ast.AST, typing_only: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, typing_only
    guarded = isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING"
    for child in statements_below(node):
        inside = guarded and isinstance(node, ast.If) and child in node.body
        yield from _import_nodes(child, typing_only or inside)


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _imported_names(node: ast.Import | ast.ImportFrom, module: Module) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parts = module.name.split(".")
        package = parts[: len(parts) - node.level + module.is_package]
        base = ".".join([*package, *base.split(".")] if base else package)
    yield from (f"{base}.{alias.name}" for alias in node.names)


def _longest_known(name: str, known: set[str]) -> str:
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name


def circles(modules: Modules) -> list[list[str]]:
    """Strongly connected components of more than one module, the largest first."""
    targets: dict[str, set[str]] = defaultdict(set)
    for each in imports(modules):
        if not each.typing_only:
            targets[each.source].add(each.target)
    reach = {module: _reachable(module, targets) for module in list(targets)}
    groups = {
        frozenset(other for other in reach[module] if module in reach.get(other, ())) for module in reach
    }
    return sorted((sorted(group) for group in groups if group), key=lambda group: (-len(group), group))


def _reachable(start: str, targets: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = targets.get(waiting.pop(), set()) - seen
        seen |= new
        waiting.extend(new)
    return seen


def two_way_pairs(modules: Modules) -> dict[str, list[Import]]:
    """Sibling packages that import each other -> the imports of the less common direction."""
    packages = {module.name for module in modules if module.is_package}
    directions: dict[tuple[str, str], list[Import]] = defaultdict(list)
    for each in imports(modules):
        pair = _siblings(each, packages)
        if pair and not each.typing_only:
            directions[pair].append(each)
    found: dict[str, list[Import]] = {}
    for first, second in sorted(directions):
        if first < second and (second, first) in directions:
            both = directions[first, second], directions[second, first]
            found[f"{first} <-> {second}".replace(".", "/")] = min(both, key=len)
    return found


def _siblings(each: Import, packages: set[str]) -> tuple[str, str] | None:
    """The two packages below the innermost common package of both ends; None if an end is a loose module."""
    source, target = each.source.split("."), each.target.split(".")
    shared = 0
    while shared < min(len(source), len(target)) and source[shared] == target[shared]:
        shared += 1
    pair = ".".join(source[: shared + 1]), ".".join(target[: shared + 1])
    return pair if shared and pair[0] != pair[1] and packages.issuperset(pair) else None

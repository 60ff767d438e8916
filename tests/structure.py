"""Structure measurements of a source tree: packages, imports, sizes, types and comments.

Standard library only. `python -m tests.structure [ROOT ...]` prints one column for each tree.
"""

from __future__ import annotations

import ast
import io
import re
import statistics
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.import_graph import circles, imports, two_way_pairs
from tests.source_tree import DEFINITIONS, REPOSITORY, Module, Modules, source_modules, statements_below

TOPS = ("jobs", "dashboard", "engine", "engine/rank")
LOOSE_MODULES = 10
FILE_LINES = 300
FUNCTION_LINES = 50
NESTING = 3

BLOCKS = (
    ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.Try | ast.TryStar | ast.Match
)
DIRECTIVE = re.compile(r"#\s*(noqa|fmt:|type:|ruff:|pragma)")
LAYOUT_TOKENS = {
    tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


@dataclass(frozen=True)
class Function:
    where: str  # path::Class.name
    num_lines: int
    nesting: int
    typed: bool


def loose_modules(modules: Modules) -> dict[str, list[str]]:
    """Names of the modules that lie directly in each top folder; `__init__` and `__main__` do not count."""
    found: dict[str, list[str]] = {top: [] for top in TOPS}
    for module in modules:
        folder = module.path.parent.as_posix()
        if folder in found and module.path.stem not in ("__init__", "__main__"):
            found[folder].append(module.path.stem)
    return found


@cache
def functions(modules: Modules) -> tuple[Function, ...]:
    """Every function and method, nested ones included."""
    return tuple(f for module in modules for f in _functions_below(module.tree, f"{module.path}::"))


def _functions_below(node: ast.AST, prefix: str) -> Iterator[Function]:
    for child in statements_below(node):
        inner = f"{prefix}{child.name}." if isinstance(child, ast.ClassDef | DEFINITIONS) else prefix
        if isinstance(child, DEFINITIONS):
            num_lines = (child.end_lineno or child.lineno) - child.lineno + 1
            typed = _is_typed(child, is_method=isinstance(node, ast.ClassDef))
            yield Function(prefix + child.name, num_lines, nesting(child), typed)
        yield from _functions_below(child, inner)


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Depth of compound statements; `elif` adds none, and inner functions are measured separately."""
    deepest = depth
    for child in statements_below(node):
        if not isinstance(child, ast.ClassDef | DEFINITIONS):
            deeper = isinstance(child, BLOCKS) and not _is_elif(node, child)
            deepest = max(deepest, nesting(child, depth + deeper))
    return deepest


def _is_elif(parent: ast.AST, node: ast.AST) -> bool:
    return (
        isinstance(parent, ast.If)
        and isinstance(node, ast.If)
        and node in parent.orelse
        and node.col_offset == parent.col_offset
    )


def _is_typed(node: ast.FunctionDef | ast.AsyncFunctionDef, is_method: bool) -> bool:
    static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
    arguments = node.args.posonlyargs + node.args.args
    bound = arguments[1:] if is_method and not static else arguments
    stars = [star for star in (node.args.vararg, node.args.kwarg) if star]
    return node.returns is not None and all(a.annotation for a in bound + node.args.kwonlyargs + stars)


def line_kinds(module: Module) -> Counter[str]:
    """Count lines of code, comments (without tool directives) and docstrings."""
    docstring: set[int] = set()
    for node in ast.walk(module.tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | DEFINITIONS)
        if documented and ast.get_docstring(node, clean=False) is not None:
            docstring.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    code: set[int] = set()
    comment: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            if not DIRECTIVE.match(token.string):
                comment.add(token.start[0])
        elif token.type not in LAYOUT_TOKENS:
            code.update(range(token.start[0], token.end[0] + 1))
    return Counter(code=len(code - docstring), comment=len(comment), docstring=len(docstring))


def long_files(modules: Modules) -> dict[str, int]:
    return {str(m.path): m.num_lines for m in modules if m.num_lines > FILE_LINES}


def long_functions(modules: Modules) -> dict[str, int]:
    return {f.where: f.num_lines for f in functions(modules) if f.num_lines > FUNCTION_LINES}


def figures(root: Path) -> dict[str, str]:
    """The table rows for one tree."""
    modules = source_modules(root)
    every = functions(modules)
    kinds = sum((line_kinds(module) for module in modules), Counter[str]())
    groups = circles(modules)
    source = sum(module.num_lines for module in modules)
    tests = sum(len(path.read_text().splitlines()) for path in (root / "tests").rglob("*.py"))
    loose = {f"loose modules in {top}/": str(len(names)) for top, names in loose_modules(modules).items()}
    return {
        "modules": str(len(modules)),
        **loose,
        "import circles": f"{len(groups)} ({sum(map(len, groups))} modules)",
        "two-way pairs of packages": str(len(two_way_pairs(modules))),
        "imports for type checking only": str(sum(each.typing_only for each in imports(modules))),
        f"files over {FILE_LINES} lines": str(len(long_files(modules))),
        f"functions over {FUNCTION_LINES} lines": str(len(long_functions(modules))),
        "functions": str(len(every)),
        "median function length": f"{statistics.median(f.num_lines for f in every):g} lines",
        "maximum nesting": str(max(function.nesting for function in every)),
        f"functions nested deeper than {NESTING}": str(sum(function.nesting > NESTING for function in every)),
        "typed functions": f"{100 * sum(function.typed for function in every) / len(every):.1f} %",
        "comment lines per 100 code lines": f"{100 * kinds['comment'] / kinds['code']:.1f}",
        "docstring lines per 100 code lines": f"{100 * kinds['docstring'] / kinds['code']:.1f}",
        "source lines": str(source),
        "test lines": str(tests),
        "test lines per source line": f"{tests / source:.2f}",
    }


def details(root: Path) -> Iterator[str]:
    """The findings behind the figures that should be zero."""
    modules = source_modules(root)
    for group in circles(modules):
        yield f"import circle of {len(group)}: {', '.join(group)}"
    for pair, smaller in two_way_pairs(modules).items():
        yield f"two-way pair {pair}; the smaller direction:"
        yield from (f"    {each}" for each in smaller)
    yield from (f"for type checking only: {each}" for each in imports(modules) if each.typing_only)
    for name, num_lines in (long_files(modules) | long_functions(modules)).items():
        yield f"{num_lines} lines: {name}"
    for function in functions(modules):
        if function.nesting > NESTING:
            yield f"nested {function.nesting} deep: {function.where}"
        if not function.typed:
            yield f"without types: {function.where}"


def main(arguments: list[str]) -> None:
    roots = [Path(argument).resolve() for argument in arguments] or [REPOSITORY]
    columns = [figures(root) for root in roots]
    width = max(len(name) for name in columns[0])
    sys.stdout.write(" " * width + "".join(f"{root.name:>20}" for root in roots) + "\n")
    for name in columns[0]:
        sys.stdout.write(f"{name:<{width}}" + "".join(f"{column[name]:>20}" for column in columns) + "\n")
    for root in roots:
        sys.stdout.writelines(["\n", f"{root.name}:\n", *(f"  {line}\n" for line in details(root))])


if __name__ == "__main__":
    main(sys.argv[1:])

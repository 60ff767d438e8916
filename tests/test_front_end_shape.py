"""Front-end files of a readable size, each of them in use; the length of JavaScript functions is eslint's (make js)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
JS = ROOT / "dashboard" / "static" / "js"
FILE_LINES = 300
JS_COLUMNS = 120
TEMPLATE_COLUMNS = 140
TOP_MODULES = 10
# The last line of an import statement; a file may also stand in a template as {% static 'js/...' %}.
IMPORT = re.compile(r'^(?:import|export|\}).*? from "(\.[^"]+)"|^import "(\.[^"]+)"', re.MULTILINE)
STATIC = re.compile(r"{% static '(js/[^']+)' %}")

# path, or path:line number -> why it may be longer or unused
EXCEPTIONS: dict[str, str] = {}


def scripts() -> list[Path]:
    """Modules, and the declarations of types beside them."""
    return sorted(path for path in JS.rglob("*") if path.suffix in (".js", ".ts"))


def templates() -> list[Path]:
    return sorted((ROOT / "templates").rglob("*.html"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def long_lines(paths: list[Path], columns: int) -> Iterator[str]:
    for path in paths:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > columns:
                yield f"{name_of(path)}:{number}"


def long_files() -> list[str]:
    return [name_of(path) for path in scripts() if len(path.read_text().splitlines()) > FILE_LINES]


def unused_modules() -> list[str]:
    """Modules that no template loads and no used module imports."""
    pages = "".join(path.read_text() for path in templates())
    used = {ROOT / "dashboard" / "static" / name for name in STATIC.findall(pages)}
    waiting = list(used)
    while waiting:
        path = waiting.pop()
        found = {(path.parent / "".join(names)).resolve() for names in IMPORT.findall(path.read_text())}
        waiting.extend(found - used)
        used |= found
    return [name_of(path) for path in scripts() if path.suffix == ".js" and path not in used]


def over() -> set[str]:
    """Everything that breaks a bound."""
    return {
        *long_files(),
        *unused_modules(),
        *long_lines(scripts(), JS_COLUMNS),
        *long_lines(templates(), TEMPLATE_COLUMNS),
    }


def test_front_end_files_are_short_and_used():
    assert sorted(over() - EXCEPTIONS.keys()) == []


def test_no_exception_is_kept_that_is_not_needed():
    assert EXCEPTIONS.keys() <= over()


def test_modules_lie_in_the_folder_of_their_pages():
    assert len(list(JS.glob("*.js"))) <= TOP_MODULES

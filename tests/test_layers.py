"""Import directions: dashboard -> jobs -> engine, and torch only in engine/rank."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"torch", "deepspeed"}
WEB = {"django", "celery", "ninja"}

LOADED = """
import json, pkgutil, importlib, sys, os
{setup}
for name in {packages!r}:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.startswith({skip!r}) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print(json.dumps(sorted({{name.split(".")[0] for name in sys.modules}})))
"""
DJANGO = "os.environ['DJANGO_SETTINGS_MODULE'] = 'dashboard.settings'; import django; django.setup()"


def loaded_by(packages: list[str], *, setup: str = "", skip: tuple[str, ...] = ("-",)) -> set[str]:
    """Top-level packages in a fresh interpreter after it imports every module of `packages`."""
    code = LOADED.format(setup=setup, packages=packages, skip=skip)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_engine_without_ranks_loads_neither_torch_nor_django_nor_celery():
    loaded = loaded_by(["engine"], skip=("engine.rank",))
    assert not loaded & (HEAVY | WEB)
    assert not loaded & {"jobs", "dashboard"}


def test_the_client_loads_only_msgspec_and_the_standard_library():
    own = {
        "fourwalls",
        "msgspec",
        "typing_extensions",
    }  # msgspec imports typing_extensions if it is installed
    assert not {n for n in loaded_by(["fourwalls"]) - set(sys.stdlib_module_names) - own if n[0] != "_"}


def test_jobs_and_dashboard_start_without_torch():
    assert not loaded_by(["jobs", "dashboard"], setup=DJANGO, skip=("jobs.migrations",)) & HEAVY


def imports_of(path: Path) -> set[str]:
    """Top-level packages that a file imports, including deferred imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("engine", WEB | {"jobs", "dashboard"}),
        ("jobs", HEAVY | {"dashboard"}),
        ("dashboard", HEAVY),
        ("fourwalls", HEAVY | WEB | {"jobs", "dashboard", "engine"}),
    ],
)
def test_no_import_violates_the_direction(package: str, forbidden: set[str]):
    wrong = {
        str(path.relative_to(ROOT)): sorted(found)
        for path in (ROOT / package).rglob("*.py")
        if (found := imports_of(path) & forbidden)
    }
    assert not wrong


def test_only_the_rank_package_imports_torch_or_deepspeed():
    wrong = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "engine").rglob("*.py")
        if "rank" not in path.relative_to(ROOT / "engine").parts and imports_of(path) & HEAVY
    ]
    assert not wrong

"""Structure measurements of small trees with known figures."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.import_graph import circles, imports, two_way_pairs
from tests.source_tree import Modules, source_modules
from tests.structure import figures, functions, line_kinds, loose_modules, nesting

MakeTree = Callable[..., Modules]


@pytest.fixture
def make_tree(tmp_path: Path) -> MakeTree:
    """make_tree({'jobs/a.py': 'import jobs.b'}): the modules of that tree; packages get an empty __init__.py."""

    def make(files: dict[str, str]) -> Modules:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for folder in {p.parent for p in tmp_path.rglob("*.py")}:
            for package in (folder, *folder.parents):
                if package.is_relative_to(tmp_path) and package != tmp_path:
                    (package / "__init__.py").touch()
        return source_modules(tmp_path)

    return make


def targets(modules: Modules) -> list[tuple[str, str]]:
    return [(each.source, each.target) for each in imports(modules)]


def test_tests_and_migrations_are_not_source(make_tree: MakeTree):
    modules = make_tree({"jobs/a.py": "", "jobs/migrations/0001.py": "", "tests/test_a.py": ""})
    assert [module.name for module in modules] == ["jobs", "jobs.a"]


def test_loose_modules_are_directly_in_a_top_folder(make_tree: MakeTree):
    files = {"jobs/a.py": "", "jobs/b/c.py": "", "engine/rank/d.py": "", "engine/__main__.py": ""}
    loose = loose_modules(make_tree(files))
    assert loose == {"jobs": ["a"], "dashboard": [], "engine": [], "engine/rank": ["d"]}


@pytest.mark.parametrize(
    "statement",
    ["import jobs.b.c", "from jobs.b import c", "from jobs.b.c import name", "from .b import c", "from .b.c import *",
     "def f():\n    from jobs.b import c"],
)  # fmt: skip
def test_every_form_of_import_is_found(make_tree: MakeTree, statement: str):
    modules = make_tree({"jobs/a.py": statement, "jobs/b/c.py": "name = 1"})
    assert targets(modules) == [("jobs.a", "jobs.b.c")]


def test_a_relative_import_in_a_package_starts_at_that_package(make_tree: MakeTree):
    modules = make_tree(
        {"jobs/b/__init__.py": "from . import c\nfrom .. import a", "jobs/b/c.py": "", "jobs/a.py": ""}
    )
    assert targets(modules) == [("jobs.b", "jobs.b.c"), ("jobs.b", "jobs.a")]


def test_a_deferred_import_closes_a_circle(make_tree: MakeTree):
    deferred = "def f():\n    if f:\n        from jobs import a"
    modules = make_tree({"jobs/a.py": "import jobs.b", "jobs/b.py": "import jobs.c", "jobs/c.py": deferred})
    assert circles(modules) == [["jobs.a", "jobs.b", "jobs.c"]]


def test_an_import_for_type_checking_closes_no_circle(make_tree: MakeTree):
    guarded = "if TYPE_CHECKING:\n    import engine.a\nelse:\n    import engine.c"
    modules = make_tree({"engine/a.py": "import engine.b", "engine/b.py": guarded, "engine/c.py": ""})
    assert circles(modules) == []
    assert [str(each) for each in imports(modules) if each.typing_only] == [
        "engine/b.py:2 engine.b -> engine.a"
    ]


def test_a_two_way_pair_shows_the_smaller_direction(make_tree: MakeTree):
    files = {
        "dashboard/pages/runs/a.py": "from dashboard.pages.jobs import c, d",
        "dashboard/pages/jobs/c.py": "",
        "dashboard/pages/jobs/d.py": "def f():\n    import dashboard.pages.runs.e",
        "dashboard/pages/runs/e.py": "import dashboard.html",
        "dashboard/html/__init__.py": "import dashboard.loose",
        "dashboard/loose.py": "import dashboard.html",
    }
    found = two_way_pairs(make_tree(files))
    assert {pair: [str(each) for each in smaller] for pair, smaller in found.items()} == {
        "dashboard/pages/jobs <-> dashboard/pages/runs": [
            "dashboard/pages/jobs/d.py:2 dashboard.pages.jobs.d -> dashboard.pages.runs.e"
        ]
    }


@pytest.mark.parametrize(
    ("body", "depth"),
    [
        ("return 1", 0),
        ("if a:\n  return 1\nelif b:\n  return 2\nelse:\n  return 3", 1),
        ("if a:\n  return 1\nelse:\n  if b:\n    return 2", 2),
        ("try:\n  pass\nexcept E:\n  for x in y:\n    pass", 2),
        ("match a:\n  case 1:\n    with b:\n      pass", 2),
        ("if a:\n  def inner():\n    if b:\n      pass", 1),
    ],
)
def test_nesting_counts_compound_statements(body: str, depth: int):
    assert nesting(ast.parse(body)) == depth


def test_a_function_is_typed_when_all_parameters_and_the_return_are(make_tree: MakeTree):
    text = (
        "class A:\n"
        "    def bound(self, a: int) -> None: ...\n"
        "    def bare(self, a) -> None: ...\n"
        "    @staticmethod\n"
        "    def static(a) -> None: ...\n"
        "def open(a: int): ...\n"
        "def stars(*a: int, b: int, **c) -> None: ...\n"
    )
    every = functions(make_tree({"jobs/a.py": text}))
    assert [function.where for function in every if function.typed] == ["jobs/a.py::A.bound"]
    assert len(every) == 5


def test_lines_are_counted_by_kind(make_tree: MakeTree):
    text = '"""One.\n\nTwo.\n"""\n\n# Why.\na = """x\ny"""  # So.\nb = 1  # noqa: E501\n'
    module = make_tree({"jobs/a.py": text})[1]
    assert line_kinds(module) == {"code": 3, "comment": 2, "docstring": 4}


def test_the_table_has_a_row_for_each_measure(make_tree: MakeTree, tmp_path: Path):
    make_tree({"jobs/a.py": "def f() -> int:\n    return 1\n", "tests/test_a.py": "a = 1\n"})
    table = figures(tmp_path)
    assert table["loose modules in jobs/"] == "1"
    assert table["median function length"] == "2 lines"
    assert table["typed functions"] == "100.0 %"
    assert table["test lines per source line"] == "0.50"

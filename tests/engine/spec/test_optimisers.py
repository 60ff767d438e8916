"""The table of optimisers: complete rows, and no other file that knows their names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spec.checks import refuse_impossible
from engine.spec.optimisers import DEFAULT_NAME, OPTIMISERS, OptimiserRow
from engine.spec.parts import Optimiser
from engine.spec.spec import Spec, SpecError, flatten, nested, parse

ROOT = Path(__file__).resolve().parents[3]
ROWS = pytest.mark.parametrize("row", OPTIMISERS.values(), ids=OPTIMISERS)
# The two files that a new optimiser touches.
TABLE, FACTORIES = "engine/spec/optimisers.py", "engine/rank/train/optimisers.py"


def spec_with(row: OptimiserRow) -> Spec:
    """The default spec with this optimiser and everything that it needs."""
    needed = {path: need.allowed[0] for path, need in row.needs.items()}
    return parse(nested({"optimiser.name": row.name} | needed))


@ROWS
def test_every_row_has_a_title_and_state_bytes(row: OptimiserRow):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", row.name)
    assert row.title.strip() and row.title[0].isupper()
    assert 0 <= row.state_bytes(spec_with(row)) < 1000
    assert row.growth_steps >= 1


@ROWS
def test_a_spec_that_meets_the_needs_of_a_row_is_accepted(row: OptimiserRow):
    refuse_impossible(spec_with(row))
    assert row.needs.keys() <= flatten(Spec().model_dump()).keys()
    for path, need in row.needs.items():
        assert need.reason and not need.reason.endswith(".")
        for value in need.allowed:
            parse(nested({path: value}))


@ROWS
def test_an_optimiser_with_a_closure_needs_what_its_trainer_supports(row: OptimiserRow):
    """ClosureTrainer runs one rank in fp32, and does not clip gradients."""
    supported = {
        "parallel.data",
        "parallel.tensor",
        "parallel.stages",
        "parallel.zero_stage",
        "batch.full_batch",
    }
    if row.has_closure:
        assert row.needs.keys() >= supported | {"optimiser.gradient_clip", "guard.on_broken_step"}
        assert row.needs_fp32


@ROWS
def test_every_field_that_a_row_reads_exists(row: OptimiserRow):
    assert row.fields <= Optimiser.model_fields.keys() - {"name"}


def test_every_field_of_the_part_is_read_by_some_optimiser():
    assert frozenset().union(
        *(row.fields for row in OPTIMISERS.values())
    ) == Optimiser.model_fields.keys() - {"name"}


def test_the_schema_lists_exactly_the_rows():
    schema = Spec.model_json_schema()["$defs"]["Optimiser"]["properties"]["name"]
    assert (schema["enum"], schema["default"]) == (list(OPTIMISERS), DEFAULT_NAME)


def test_an_unknown_optimiser_is_refused_with_the_names_of_all_rows():
    with pytest.raises(SpecError) as caught:
        parse({"optimiser": {"name": "lion"}})
    assert all(f"'{name}'" in str(caught.value) for name in OPTIMISERS)


def python_files() -> Iterator[tuple[str, ast.Module]]:
    for package in ("engine", "jobs", "dashboard", "fourwalls"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def is_optimiser_name(node: ast.expr) -> bool:
    """`optimiser.name`, with anything in front of it."""
    if not isinstance(node, ast.Attribute) or node.attr != "name":
        return False
    owner = node.value
    return (isinstance(owner, ast.Attribute) and owner.attr == "optimiser") or (
        isinstance(owner, ast.Name) and owner.id == "optimiser"
    )


def strings_in(node: ast.AST) -> set[str]:
    return {
        one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
    }


def test_no_file_compares_the_name_of_an_optimiser_with_a_string():
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in python_files()
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and any(is_optimiser_name(side) for side in (node.left, *node.comparators))
        and any(strings_in(side) for side in (node.left, *node.comparators))
    ]
    assert not wrong, "read a field of spec.optimiser.row instead"


def test_only_the_table_and_the_factories_name_an_optimiser():
    naming = {path for path, tree in python_files() if strings_in(tree) & OPTIMISERS.keys()}
    assert naming == {TABLE, FACTORIES}


def test_no_script_and_no_template_names_an_optimiser():
    pattern = re.compile(rf"\b({'|'.join(OPTIMISERS)})\b")
    files = [*(ROOT / "templates").rglob("*.html"), *(ROOT / "dashboard/static/js").rglob("*.js")]
    assert files
    assert not [
        str(path.relative_to(ROOT)) for path in files if pattern.search(path.read_text(encoding="utf-8"))
    ]


def test_every_row_has_a_factory():
    """Read from the source, so that it needs no torch."""
    tree = ast.parse((ROOT / FACTORIES).read_text(encoding="utf-8"))
    [table] = [
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "FACTORIES"
    ]
    assert isinstance(table, ast.Dict)
    assert [key.value for key in table.keys if isinstance(key, ast.Constant)] == list(OPTIMISERS)

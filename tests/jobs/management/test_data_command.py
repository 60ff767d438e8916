"""`manage.py data`: add, list, keep, delete."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Dataset

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(owner):
    def command(*arguments: str) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        call_command("data", "--user", owner.get_username(), *arguments, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    return command


def test_a_file_is_added_and_its_bad_lines_are_named(run, tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("one\tun\nbroken\ntwo\tdeux\n")
    said, told = run("add", str(file), "--licence", "CC0")
    made = Dataset.objects.get()
    assert said.strip() == f"dataset:{made.id}"
    assert "line 2: it has 1 columns" in told and f"manage.py data keep {made.id}" in told
    assert "ready" in run("keep", made.id)[0]
    assert "pairs" in run("list")[0] and "python-docs" in run("list")[0]
    assert "deleted" in run("delete", f"dataset:{made.id}")[0]


def test_good_lines_are_kept_at_once_where_that_is_asked_for(run, tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("one\tun\nbroken\n")
    run("add", str(file), "--keep")
    assert Dataset.objects.get().state == "ready"


def test_what_is_not_there_is_said(run, tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        run("add", str(tmp_path / "none.txt"))
    with pytest.raises(CommandError, match="has no data set"):
        run("keep", "nonsense")

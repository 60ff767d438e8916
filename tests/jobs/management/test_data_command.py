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
    out, err = run("add", str(file), "--licence", "CC0")
    dataset = Dataset.objects.get()
    assert out.strip() == f"dataset:{dataset.id}"
    assert "line 2: it has no tab" in err and f"manage.py data keep {dataset.id}" in err
    assert "ready" in run("keep", dataset.id)[0]
    assert "pairs" in run("list")[0] and "python-docs" in run("list")[0]
    assert "deleted" in run("delete", f"dataset:{dataset.id}")[0]


def test_good_lines_are_kept_at_once_with_keep(run, tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("one\tun\nbroken\n")
    run("add", str(file), "--keep")
    assert Dataset.objects.get().state == "ready"


def test_a_missing_file_or_data_set_is_reported(run, tmp_path):
    with pytest.raises(CommandError, match="cannot be read"):
        run("add", str(tmp_path / "none.txt"))
    with pytest.raises(CommandError, match="has no data set"):
        run("keep", "nonsense")

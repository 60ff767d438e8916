"""Validation of corpus names and files."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine.data import corpora, files, prepare
from engine.data.readers import python
from engine.spec.parts import Data, Objective
from engine.spec.spec import SpecError

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "letters.txt").write_text("Dear friend,\nall is well.\n")
    (tmp_path / "secret.txt").write_text("not for you")
    return folder


def refusal(name: str, root: Path) -> str:
    with pytest.raises(SpecError) as caught:
        corpora.check_corpus(name, root)
    [problem] = caught.value.problems
    assert problem.field == "data.corpus"
    return problem.message


@pytest.mark.parametrize("name", ["python-docs", "python-source", "sub/letters.txt", "./sub//letters.txt"])
def test_usable_corpora_pass(name: str, root: Path) -> None:
    corpora.check_corpus(name, root)


def test_built_in_corpora_need_no_folder() -> None:
    corpora.check_corpus("python-docs", "/nowhere")


@pytest.mark.parametrize(
    "name", ["../secret.txt", "sub/../../secret.txt", "/etc/hosts.txt", "..//secret.txt", "a\0b.txt"]
)
def test_a_path_that_leaves_the_folder_is_refused(name: str, root: Path) -> None:
    assert "is outside the data folder" in refusal(name, root)


def test_links_are_refused_as_file_and_as_folder(root: Path) -> None:
    (root / "link.txt").symlink_to(root.parent / "secret.txt")
    (root / "loop").symlink_to(root.parent)
    assert "is a symbolic link" in refusal("link.txt", root)
    assert "links are not followed" in refusal("loop/secret.txt", root)


def test_a_missing_file_is_refused(root: Path) -> None:
    assert refusal("none.txt", root) == "The data folder has no file 'none.txt'."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b" \n\t\n", "contains no text"),
        (b"good \xff\xfe bad", "is not UTF-8 text: near byte 5"),
        ("Zürich".encode()[:2], "ends in the middle of a character"),
    ],
)
def test_files_without_usable_text_are_refused(content: bytes, sentence: str, root: Path) -> None:
    (root / "odd.txt").write_bytes(content)
    assert sentence in refusal("odd.txt", root)


def test_pipes_and_folders_are_refused_without_waiting(root: Path) -> None:
    os.mkfifo(root / "pipe.txt")
    (root / "folder.txt").mkdir()
    assert "not a regular file" in refusal("pipe.txt", root)
    assert "not a regular file" in refusal("folder.txt", root)


def test_a_file_over_the_limit_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_BYTES_LIMIT", 10)
    assert refusal("sub/letters.txt", root) == "'sub/letters.txt' has 26 bytes; the limit is 10."


def test_the_error_for_a_missing_corpus_names_the_command_that_installs_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = "This corpus is not on this machine. Run `pip install it`."
    monkeypatch.setitem(
        corpora.BY_NAME, "languages", replace(corpora.BY_NAME["languages"], missing_reason=lambda: reason)
    )
    assert refusal("languages", root) == reason
    with pytest.raises(SpecError, match="pip install it"):
        prepare.prepare(Data(corpus="languages", objective="classes"), root, root)


def test_a_spec_with_fewer_classes_than_the_corpus_is_refused(root: Path) -> None:
    corpora.check_corpus("languages", root, "classes", classes=16)
    with pytest.raises(SpecError) as caught:
        corpora.check_corpus("languages", root, "classes", classes=5)
    [problem] = caught.value.problems
    assert problem.message == "'languages' has 16 classes; model.classes is 5. Raise it."
    assert problem.fix == {"model.classes": 16}


def test_the_error_for_a_misspelt_corpus_suggests_the_closest_name(root: Path) -> None:
    with pytest.raises(SpecError) as caught:
        corpora.check_corpus("python-doc", root)
    assert "Did you mean 'python-docs'?" in str(caught.value)
    assert caught.value.problems[0].fix == {"data.corpus": "python-docs"}
    assert "neither a built-in corpus" in refusal("model.bin", root)


def test_the_list_has_built_in_corpora_and_text_files_only(root: Path) -> None:
    (root / "image.png").write_bytes(b"x")
    (root / "link.txt").symlink_to(root.parent / "secret.txt")
    names = [choice.name for choice in corpora.list_corpora(root)]
    assert names == [*corpora.BY_NAME, "sub/letters.txt"]
    assert [choice.name for choice in corpora.list_corpora()] == names[:-1]


def test_built_in_corpora_have_a_licence_and_a_fixed_order() -> None:
    for corpus in corpora.CORPORA:
        assert corpus.licence
        if reason := corpus.missing_reason():
            assert "not on this machine" in reason
            continue
        first, second = (list(itertools.islice(corpus.read(), 200)) for _ in range(2))
        assert first == second
        assert len(first) > 50
        assert all(example.source.strip() for example in first)
        assert all(bool(example.target) == (corpus.kind != "text") for example in first)


def test_the_standard_library_is_read_without_its_tests() -> None:
    names = [name for name, _ in python.read_modules()]
    assert "argparse.py" in names
    assert not [name for name in names if "test" in name.split("/")[:-1] or "site-packages" in name]


@pytest.mark.parametrize(
    ("name", "content", "objective", "fix"),
    [
        ("a.tsv", "one\tun\ntwo\tdeux\n", "next_token", "pairs"),
        ("a.jsonl", '{"text": "bad", "label": "sad"}\n', "pairs", "classes"),
        ("a.jsonl", '{"text": "some words"}\n', "classes", "next_token"),
    ],
)
def test_an_objective_that_reads_another_kind_is_refused(
    name: str, content: str, objective: Objective, fix: Objective, root: Path
) -> None:
    (root / name).write_text(content)
    with pytest.raises(SpecError) as caught:
        corpora.check_corpus(name, root, objective)
    [problem] = caught.value.problems
    assert problem.field == "data.objective"
    assert problem.fix == {"data.objective": fix}
    corpora.check_corpus(name, root, fix)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b'{"text": "fine"}\n{"text": 3}\n',
            "Line 2 of 'a.jsonl' cannot be used: its field text is not a text.",
        ),
        (
            b'{"text": "fine"}\n\n{"source": "a", "target": "b"}\n',
            "Line 3 of 'a.jsonl' cannot be used: it contains pairs; the lines before contain text.",
        ),
        (b'{"text": "fine"}\n{"text": "\xff"}\n', "Line 2 of 'a.jsonl' cannot be used: it is not UTF-8"),
        (b"\n\n", "contains no text"),
    ],
)
def test_the_error_names_the_first_bad_line_of_a_file(content: bytes, sentence: str, root: Path) -> None:
    (root / "a.jsonl").write_bytes(content)
    assert sentence in refusal("a.jsonl", root)

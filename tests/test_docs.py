"""Links, paths, commands, versions and the index of decisions in the documents."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
DECISIONS = ROOT / "docs" / "decisions"
DECISION_LINES = 300

PACKAGES = ("engine", "jobs", "dashboard", "docs", "fourwalls", "templates", "tests")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(rf"(?:{'|'.join(PACKAGES)})/[\w./<>*-]*")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
DECISION = re.compile(r"^## (\d+)\. (.+)$", re.MULTILINE)
TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
COMMAND = re.compile(r"(?:^|`)make ([a-z]+)", re.MULTILINE)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def prose(document: Path) -> str:
    """The text without fenced blocks, which contain commands and examples."""
    return re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    """The anchor of a heading on the repository's web pages."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors(document: Path) -> set[str]:
    return {anchor(heading) for heading in HEADING.findall(prose(document))}


def broken_links(document: Path) -> Iterator[str]:
    for link in LINK.findall(prose(document)):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, part = link.partition("#")
        target = document.parent / path if path else document
        if not target.exists() or (part and target.suffix == ".md" and part not in anchors(target)):
            yield link


def missing_paths(document: Path) -> Iterator[str]:
    """Paths in backticks; a placeholder such as <family> stands for any name."""
    for code in CODE.findall(prose(document)):
        pattern = re.sub(r"<[^>]*>", "*", code)
        if PATH.fullmatch(code) and not any(ROOT.glob(pattern.rstrip("/"))):
            yield code


def decisions() -> dict[int, tuple[str, str]]:
    """Number -> file name and title."""
    found: dict[int, tuple[str, str]] = {}
    for document in sorted(DECISIONS.glob("*.md")):
        for number, title in DECISION.findall(document.read_text()):
            assert int(number) not in found, f"{document.name}: decision {number} exists twice"
            found[int(number)] = (document.name, title)
    return found


@each_document
def test_every_relative_link_has_a_target(document: Path):
    assert list(broken_links(document)) == []


@each_document
def test_every_path_in_backticks_exists(document: Path):
    assert list(missing_paths(document)) == []


@each_document
def test_every_make_command_exists(document: Path):
    assert set(COMMAND.findall(document.read_text())) <= set(TARGET.findall((ROOT / "Makefile").read_text()))


def test_the_changelog_has_the_version_of_the_package():
    versions = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert versions[0] == package["version"]


def test_the_licence_file_matches_the_package():
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = (ROOT / "LICENSE").read_text()
    assert package["license"] == "Apache-2.0"
    assert "Apache License" in text and "Version 2.0, January 2004" in text and "APPENDIX" in text


def test_every_decision_is_in_the_index_with_its_title_and_area():
    index = (DECISIONS / "README.md").read_text()
    rows = {
        int(number): (file, title)
        for number, title, file in re.findall(r"^\| (\d+) \| \[(.+?)\]\(([\w-]+\.md)#", index, re.MULTILINE)
    }
    assert rows == decisions()


def test_every_file_of_decisions_is_in_the_index_and_short():
    index = (DECISIONS / "README.md").read_text()
    files = [document for document in DECISIONS.glob("*.md") if document.name != "README.md"]
    assert files
    assert [file.name for file in files if f"({file.name})" not in index] == []
    assert [file.name for file in files if len(file.read_text().splitlines()) >= DECISION_LINES] == []


def test_decisions_are_numbered_without_a_gap_and_superseded_only_by_later_ones():
    numbers = sorted(decisions())
    assert numbers == list(range(1, len(numbers) + 1))
    index = (DECISIONS / "README.md").read_text()
    superseded = re.findall(r"^\| (\d+) \|.*\| (\d+)[^|]*\|$", index, re.MULTILINE)
    assert superseded
    assert [pair for pair in superseded if not int(pair[0]) < int(pair[1]) <= numbers[-1]] == []


def test_the_glossary_is_in_alphabetical_order():
    rows = re.findall(r"^\| (.+?) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)[2:]
    words = [row.lower() for row in rows]
    assert len(words) > 50
    assert words == sorted(words)


def test_only_one_decision_mentions_the_former_name():
    former = "head" + "room"
    lines = [
        f"{document.relative_to(ROOT)}: {line}"
        for document in DOCUMENTS
        for line in document.read_text().splitlines()
        if former in line.lower()
    ]
    assert len(lines) == 1 and lines[0].startswith("docs/decisions/")

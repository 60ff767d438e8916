"""Statements of the README that a machine can check: tree, commands and pictures."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def tree_in_readme() -> set[str]:
    block = re.search(r"```tree\n(.*?)```", README.read_text(), re.DOTALL)
    assert block, "README.md has no ```tree block"
    paths: list[str] = []
    parents: list[str] = []
    for line in block.group(1).splitlines():
        if not line.strip():
            continue
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        parents = [*parents[:depth], name]
        paths.append("".join(parents))
    return set(paths)


def test_every_path_in_the_tree_exists():
    assert [path for path in sorted(tree_in_readme()) if not (ROOT / path).exists()] == []


def test_every_make_command_in_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", README.read_text())) <= targets


def test_every_picture_exists():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)|<img[^>]+src=\"([^\"]+)\"", README.read_text())
    assert pictures
    assert [p for pair in pictures for p in pair if p and not (ROOT / p).exists()] == []

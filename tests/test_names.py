"""Names and visible texts in small sources."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.names import defined_names, page_texts, words_of
from tests.source_tree import Module

SOURCE = """
LIMIT, _private = 1, 2
Size: int = 3

class Wish:
    label = "a"
    _hidden = 1
    def __init__(self, size):
        self.size = self._own = size
        other.attribute = 1
    @property
    def width(self): ...

async def run_it():
    local = 1
    def inner(): ...
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("told_of", {"told", "of"}),
        ("HTTPWish2", {"http", "wish"}),
        ("WISHES", {"wishes"}),
        ("_tellAll", {"tell", "all"}),
        ("headers", {"headers"}),
        ("Nobody has said so.", {"nobody", "has", "said", "so"}),
    ],
)
def test_names_are_split_into_words(name: str, words: set[str]):
    assert words_of(name) == words


def test_names_have_a_kind_and_a_line():
    module = Module(Path("jobs/wish.py"), SOURCE, ast.parse(SOURCE))
    assert {(name.kind, name.text, name.line) for name in defined_names((module,))} == {
        ("module", "wish", 1), ("variable", "LIMIT", 2), ("variable", "Size", 3), ("class", "Wish", 5),
        ("attribute", "label", 6), ("function", "__init__", 8), ("attribute", "size", 9), ("function", "width", 12),
        ("function", "run_it", 14), ("function", "inner", 16),
    }  # fmt: skip


def test_a_package_is_named_after_its_folder():
    module = Module(Path("jobs/story/__init__.py"), "", ast.parse(""))
    assert [str(name) for name in defined_names((module,))] == ["jobs/story/__init__.py:1 module story"]


def test_page_texts_keep_only_visible_text_on_its_line():
    template = (
        "{% comment %}a\nremark{% endcomment %}\n"
        '<p class="story" title="A tooltip">Text {{ value.said|default:"no value" }}</p>\n'
        '{% url "told" run %}{% include "a/b.html" with empty="Nothing is here" %}\n'
        "<script>\nlet said = 1\n</script>{# said #}<b>end</b>"
    )
    lines = [" ".join(line.split()) for line in page_texts(template).splitlines()]
    assert lines == ["", "", "A tooltip Text no value", "Nothing is here", "", "", "end"]

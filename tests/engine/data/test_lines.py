"""Parsing of lines of a data file, with the reasons for refusal."""

from __future__ import annotations

import json
import random
import re

import pytest

from engine.data import lines
from engine.data.examples import Example


@pytest.mark.parametrize(
    ("line", "suffix", "kind", "example"),
    [
        (b'{"text": " one \\r\\n two "}', ".jsonl", "text", Example("one \n two", "")),
        (b'{"source": "a", "target": "b"}', ".jsonl", "pairs", Example("a", "b")),
        (b'{"text": "good", "label": "happy"}', ".jsonl", "classes", Example("good", "happy")),
        (b'{"text": "good", "label": 3}', ".jsonl", "classes", Example("good", "3")),
        (b'{"prompt": "a", "completion": "b"}', ".ndjson", "pairs", Example("a", "b")),
        (b'{"instruction": "a", "input": "", "output": "b"}', ".jsonl", "pairs", Example("a", "b")),
        (b'{"output": "b", "input": "c", "instruction": "a"}', ".jsonl", "pairs", Example("a\n\nc", "b")),
        (b'{"translation": {"en": "a", "fr": "b"}}', ".jsonl", "pairs", Example("a", "b")),
        (b"a word\tun mot\r", ".tsv", "pairs", Example("a word", "un mot")),
        ("e\u0301t\u00e9\tsummer".encode(), ".tsv", "pairs", Example("\u00e9t\u00e9", "summer")),
    ],
)
def test_good_lines_are_records_in_normal_form(line: bytes, suffix: str, kind: str, example: Example) -> None:
    assert lines.parse_line(line, suffix) == lines.Record(kind, example)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "suffix", "reason"),
    [
        (b"no json", ".jsonl", "it is not JSON"),
        (b"[" * 200_000, ".jsonl", "it is not JSON"),
        (b"[1, 2]", ".jsonl", "it is not an object"),
        (b'{"txt": "a"}', ".jsonl", "it has the fields txt; the known forms are"),
        (b'{"text": "a", "text": "b"}', ".jsonl", "a field occurs twice"),
        (b'{"text": null}', ".jsonl", "its field text is not a text"),
        (b'{"text": "a", "label": true}', ".jsonl", "its field label is not a text"),
        (b'{"source": "a", "target": "  "}', ".jsonl", "its target is empty"),
        (b'{"text": "a\\u0000b"}', ".jsonl", "the character NUL"),
        (b'{"text": "a\\ud800"}', ".jsonl", "half of a surrogate pair"),
        (b'{"text": "\xff"}', ".jsonl", "it is not UTF-8: byte 11"),
        (json.dumps({"text": "a", "label": "x" * 101}).encode(), ".jsonl", "its label has 101 characters"),
        (
            b'{"messages": [{"role": "user", "content": "a"}]}',
            ".jsonl",
            "its messages have no answer of the assistant",
        ),
        (b'{"translation": {"en": "a", "fr": "b", "de": "c"}}', ".jsonl", "its translation has 3 languages"),
        (b'{"translation": {"en": "a", "fr": 1}}', ".jsonl", "its field fr is not a text"),
        (b"a b c", ".tsv", "it has no tab"),
        (b"a\t", ".tsv", "its target is empty"),
        (b"x" * (lines.LINE_BYTES_LIMIT + 1), ".tsv", "it has 1,048,577 bytes"),
    ],
)
def test_bad_lines_are_refused_with_a_reason(line: bytes, suffix: str, reason: str) -> None:
    with pytest.raises(lines.LineError, match=re.escape(reason)):
        lines.parse_line(line, suffix)


def test_further_fields_in_any_order_change_nothing():
    """Each known form with drawn names and values beside it."""
    draw = random.Random(20261201)
    names = ["url", "meta", "id", "score", "source_url", "lang", "", "größe", "label_text", "Text"]
    values = ["x", 1, None, {"a": [1]}, [], True, "é" * 50]
    for _ in range(300):
        required = draw.choice(list(lines.FIELDS))
        further = {name: draw.choice(values) for name in draw.sample(names, draw.randint(0, 5))}
        items = list({name: f"the {name}" for name in required}.items()) + list(further.items())
        draw.shuffle(items)
        found = lines.parse_line(json.dumps(dict(items)).encode(), ".jsonl")
        alone = lines.parse_line(json.dumps({name: f"the {name}" for name in required}).encode(), ".jsonl")
        assert (found.kind, found.example) == (alone.kind, alone.example)
        assert set(found.unread) == set(further)


def test_further_columns_of_a_tsv_are_not_read():
    found = lines.parse_line(b"a\tb\tCC-BY #1\t", ".tsv")
    assert (found.example, found.unread) == (Example("a", "b"), ("column 3", "column 4"))

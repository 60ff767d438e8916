"""Parsing of lines of a data file, with the reasons for refusal."""

from __future__ import annotations

import json

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
        (b'{"txt": "a"}', ".jsonl", "it has the fields txt; the allowed fields are"),
        (b'{"text": "a", "text": "b"}', ".jsonl", "a field occurs twice"),
        (b'{"text": null}', ".jsonl", "its field text is not a text"),
        (b'{"text": "a", "label": true}', ".jsonl", "its field label is not a text"),
        (b'{"source": "a", "target": "  "}', ".jsonl", "its target is empty"),
        (b'{"text": "a\\u0000b"}', ".jsonl", "the character NUL"),
        (b'{"text": "a\\ud800"}', ".jsonl", "half of a surrogate pair"),
        (b'{"text": "\xff"}', ".jsonl", "it is not UTF-8: byte 11"),
        (json.dumps({"text": "a", "label": "x" * 101}).encode(), ".jsonl", "its label has 101 characters"),
        (b"a\tb\tc", ".tsv", "it has 3 columns, not 2"),
        (b"a\t", ".tsv", "its target is empty"),
        (b"x" * (lines.LINE_BYTES_LIMIT + 1), ".tsv", "it has 1,048,577 bytes"),
    ],
)
def test_bad_lines_are_refused_with_a_reason(line: bytes, suffix: str, reason: str) -> None:
    with pytest.raises(lines.LineError, match=reason.replace("(", r"\(")):
        lines.parse_line(line, suffix)

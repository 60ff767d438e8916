"""Files as people send them: every good line kept, every bad one told by its number, whatever the bytes."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest

from engine.data import intake, lines
from engine.data.intake import Bad
from engine.data.lines import Record


def read(content: bytes, suffix: str = ".jsonl", piece: int = 7) -> list[Record | Bad]:
    pieces = (content[start : start + piece] for start in range(0, len(content), piece))
    return list(intake.records(pieces, suffix))


def texts(found: list[Record | Bad]) -> list[str]:
    return [one.example.source for one in found if isinstance(one, Record)]


def bad(found: list[Record | Bad]) -> list[tuple[int, str]]:
    return [(one.number, one.reason) for one in found if isinstance(one, Bad)]


@pytest.mark.parametrize("piece", [1, 7, 4096])
def test_lines_are_the_same_however_the_bytes_arrive(piece: int) -> None:
    content = '\ufeff{"text": "é1"}\r\n\n{"text": "2"}\nnonsense\n{"text": "3"}'.encode()
    found = read(content, piece=piece)
    assert texts(found) == ["é1", "2", "3"]
    assert [number for number, _ in bad(found)] == [4]


def test_every_bad_line_is_told_by_its_number_and_none_is_lost() -> None:
    content = b"\n".join(
        [b'{"source": "a", "target": "b"}', b'{"text": "other kind"}', b'{"source": "\xff", "target": "b"}',
         b'{"source": "a\\u0000", "target": "b"}', b'{"source": "", "target": "b"}', b'{"source": "c", "target": "d"}']
    )  # fmt: skip
    found = read(content)
    assert texts(found) == ["a", "c"]
    told = dict(bad(found))
    assert list(told) == [2, 3, 4, 5]
    assert "it holds text; the lines before hold pairs" in told[2]
    assert "not UTF-8" in told[3] and "NUL" in told[4] and "empty" in told[5]


def test_a_reason_can_be_written_down_whatever_a_line_calls_its_fields() -> None:
    found = read(b'{"\\ud800": 1}\n{"a\\u0000b": 1}\n')
    told = [reason for _, reason in bad(found)]
    assert len(told) == 2
    assert all("\0" not in reason and reason.encode() for reason in told)


def test_a_plain_text_becomes_documents_without_its_broken_lines() -> None:
    long = "".join(f"line {n} of a long text\n" for n in range(30_000))
    found = read(b"good\n\xff broken\nwith \0 in it\n" + long.encode(), ".txt", 65536)
    assert [number for number, _ in bad(found)] == [2, 3]
    assert len(texts(found)) == 3
    assert "\n".join(texts(found)) == "good\n" + long.strip()
    assert all("\0" not in one.beginning for one in found if isinstance(one, Bad))


def test_a_huge_line_costs_no_more_memory_than_a_line_may_have() -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"text": "first"}\n{"text": "'
        for _ in range(400):
            yield b"x" * 65536
        yield b'"}\n{"text": "last"}\n'

    tracemalloc.start()
    found = list(intake.records(pieces(), ".jsonl"))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert texts(found) == ["first", "last"]
    assert bad(found) == [(2, "it has 26,214,412 bytes; a line may have 1,048,576")]
    assert peak_bytes < 12 * lines.LINE_BYTES_LIMIT


def test_archives_are_refused_by_what_they_are_whatever_they_are_called() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", b"0" * 10_000_000)
    for content, what in [
        (bomb.getvalue(), "a ZIP archive"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"%PDF-1.7", "a PDF"),
    ]:
        with pytest.raises(intake.NotAText, match=what):
            read(content, ".txt", 4096)
    with pytest.raises(intake.NotAText, match="UTF-16"):
        read("text".encode("utf-16"), ".txt", 4096)


@pytest.mark.parametrize("name", ["a.zip", "b.jsonl.gz", "noend", ".txt.exe", "x.parquet"])
def test_files_of_other_kinds_are_refused_by_name(name: str) -> None:
    with pytest.raises(intake.NotAText, match="is none of"):
        intake.suffix_of(name)


def test_upper_case_endings_will_do() -> None:
    assert intake.suffix_of("LETTERS.TXT") == ".txt"

"""Parsing of uploaded files into records, with bad lines reported by number."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Iterator

import pytest

from engine.data import lines, upload
from engine.data.lines import Record
from engine.data.upload import BadLine


def read(content: bytes, suffix: str = ".jsonl", chunk: int = 7) -> list[Record | BadLine]:
    chunks = (content[start : start + chunk] for start in range(0, len(content), chunk))
    return list(upload.parse_records(chunks, suffix))


def texts(found: list[Record | BadLine]) -> list[str]:
    return [one.example.source for one in found if isinstance(one, Record)]


def bad(found: list[Record | BadLine]) -> list[tuple[int, str]]:
    return [(one.number, one.reason) for one in found if isinstance(one, BadLine)]


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_lines_do_not_depend_on_the_chunk_size(chunk: int) -> None:
    content = '\ufeff{"text": "é1"}\r\n\n{"text": "2"}\nnonsense\n{"text": "3"}'.encode()
    found = read(content, chunk=chunk)
    assert texts(found) == ["é1", "2", "3"]
    assert [number for number, _ in bad(found)] == [4]


def test_every_bad_line_is_reported_by_its_number() -> None:
    content = b"\n".join(
        [b'{"source": "a", "target": "b"}', b'{"text": "other kind"}', b'{"source": "\xff", "target": "b"}',
         b'{"source": "a\\u0000", "target": "b"}', b'{"source": "", "target": "b"}', b'{"source": "c", "target": "d"}']
    )  # fmt: skip
    found = read(content)
    assert texts(found) == ["a", "c"]
    reasons = dict(bad(found))
    assert list(reasons) == [2, 3, 4, 5]
    assert "it contains text; the lines before contain pairs" in reasons[2]
    assert "not UTF-8" in reasons[3] and "NUL" in reasons[4] and "empty" in reasons[5]


def test_a_reason_is_valid_text_for_any_field_name() -> None:
    found = read(b'{"\\ud800": 1}\n{"a\\u0000b": 1}\n')
    reasons = [reason for _, reason in bad(found)]
    assert len(reasons) == 2
    assert all("\0" not in reason and reason.encode() for reason in reasons)


def test_a_plain_text_becomes_documents_without_its_bad_lines() -> None:
    long = "".join(f"line {n} of a long text\n" for n in range(30_000))
    found = read(b"good\n\xff broken\nwith \0 in it\n" + long.encode(), ".txt", 65536)
    assert [number for number, _ in bad(found)] == [2, 3]
    assert len(texts(found)) == 3
    assert "\n".join(texts(found)) == "good\n" + long.strip()
    assert all("\0" not in one.beginning for one in found if isinstance(one, BadLine))


def test_a_huge_line_takes_no_more_memory_than_the_line_limit() -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"text": "first"}\n{"text": "'
        for _ in range(400):
            yield b"x" * 65536
        yield b'"}\n{"text": "last"}\n'

    tracemalloc.start()
    found = list(upload.parse_records(chunks(), ".jsonl"))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert texts(found) == ["first", "last"]
    assert bad(found) == [(2, "it has 26,214,412 bytes; the limit is 1,048,576")]
    assert peak_bytes < 12 * lines.LINE_BYTES_LIMIT


def test_archives_are_refused_by_content_under_any_name() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", b"0" * 10_000_000)
    for content, what in [
        (bomb.getvalue(), "a ZIP archive"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"%PDF-1.7", "a PDF"),
    ]:
        with pytest.raises(upload.UnsupportedFile, match=what):
            read(content, ".txt", 4096)
    with pytest.raises(upload.UnsupportedFile, match="UTF-16"):
        read("text".encode("utf-16"), ".txt", 4096)


@pytest.mark.parametrize("name", ["a.zip", "b.jsonl.bz2", "noend", ".txt.exe", "x.arrow", "c.zip.gz", "d.gz"])
def test_files_of_other_kinds_are_refused_by_name(name: str) -> None:
    with pytest.raises(upload.UnsupportedFile, match="has none of the suffixes"):
        upload.check_suffix(name)


def test_upper_case_suffixes_are_accepted() -> None:
    assert upload.check_suffix("LETTERS.TXT") == (".txt", "")
    assert upload.check_suffix("Chats.JSON.GZ") == (".json", ".gz")

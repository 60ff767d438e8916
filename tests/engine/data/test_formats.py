"""Files of public shape: records taken, lines refused by number, whole files refused."""

from __future__ import annotations

import gzip
import io
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import zstandard

from engine.data import formats, upload
from engine.data.files import iterate_examples
from engine.data.formats import UnsupportedFile
from engine.data.lines import LINE_BYTES_LIMIT, Record
from engine.data.upload import BadLine
from engine.spec.spec import SpecError
from tests.engine.data.file_cases import FORMATS, FileCase, draw_case

NUM_CASES = 270  # thirty of each format


def read(name: str, content: bytes, chunk: int = 1 << 16, columns: Any = None) -> list[Record | BadLine]:
    suffix, compression = upload.check_suffix(name)
    chunks = (content[start : start + chunk] for start in range(0, len(content), chunk))
    return list(upload.parse_records(formats.decompress(chunks, compression, 1 << 26), suffix, columns))


def contents(record: Record) -> tuple[Any, Any]:
    """What a record holds, in the form of the oracle."""
    source, target = record.example.source, record.example.target
    if record.kind == "chats":
        return json.loads(source)["messages"], ""
    if record.kind == "preference":
        answers = json.loads(target)
        return json.loads(source)["messages"], (answers["chosen"], answers["rejected"])
    return source, target


@pytest.mark.parametrize("seed", range(NUM_CASES))
def test_a_drawn_file_has_the_records_and_bad_lines_of_the_oracle(seed: int) -> None:
    case = draw_case(seed)
    found = read(case.name, case.content, random.Random(seed).choice([7, 100, 1 << 16]))
    good = [one for one in found if isinstance(one, Record)]
    assert [contents(one) for one in good] == case.good
    assert [one.number for one in found if isinstance(one, BadLine)] == case.bad
    assert {one.kind for one in good} <= {case.kind}


def test_the_drawn_files_cover_every_format_with_and_without_faults() -> None:
    cases = [draw_case(seed) for seed in range(NUM_CASES)]
    for number in range(len(FORMATS)):
        of_format = cases[number :: len(FORMATS)]
        assert any(case.bad for case in of_format) and any(not case.bad for case in of_format)
        assert {case.name.rpartition(".")[2] for case in of_format} >= {"gz", "zst"}
    assert {case.kind for case in cases} == {"text", "classes", "pairs", "chats", "preference"}


@pytest.mark.parametrize("seed", range(0, 90))
def test_a_file_of_the_data_folder_is_read_alike_and_names_its_first_bad_line(
    seed: int, tmp_path: Path
) -> None:
    case: FileCase = draw_case(seed)
    (tmp_path / case.name).write_bytes(case.content)
    if case.bad:
        with pytest.raises(SpecError, match=f"Line {case.bad[0]} of '{case.name}' cannot be used"):
            list(iterate_examples(case.name, tmp_path))
    else:
        assert len(list(iterate_examples(case.name, tmp_path))) == len(case.good)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b"PK\x03\x04", "a ZIP archive"),
        ("a.csv", gzip.compress(b"text\nx\n", mtime=0), "a gzip file"),
        ("a.json", b"PAR1", "a Parquet file"),
        ("a.jsonl", "text".encode("utf-16"), "UTF-16"),
        ("a.parquet", b'{"text": "x"}', "Parquet file cannot be read"),
        ("a.jsonl.gz", b'{"text": "x"}', "no gzip file"),
        ("a.jsonl.gz", gzip.compress(b"x" * 10_000, mtime=0)[:-20], "ends too early"),
        ("a.jsonl.zst", b"nonsense", "no zstd file"),
        ("a.csv", b"text,text\na,b\n", "names a column twice"),
        ("a.csv", b"te\xfft\na\n", "Line 1, which names the columns"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused_whole(
    name: str, content: bytes, reason: str
) -> None:
    with pytest.raises(UnsupportedFile, match=reason):
        read(name, content)


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_small_file_that_unpacks_to_a_huge_one_is_refused_in_little_memory(compress: Any) -> None:
    suffix = ".gz" if compress is gzip.compress else ".zst"
    bomb = compress(b"0" * 200_000_000)
    tracemalloc.start()
    with pytest.raises(UnsupportedFile, match="more than the limit"):
        for _ in formats.decompress([bomb], suffix, 50_000_000):
            pass
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 20_000_000


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        (b'[{"text": "a"}, {"text": "b"', {1: "has no end"}),
        (b'[\n{"text": "a"},\n{"text": "b"}\n', {4: "the list is not closed"}),
        (b'[{"text": "a"}]\n{"text": "b"}', {2: "behind the end of the list"}),
        (b'[{"text": "a"}, 7, "x", null,\n[1]]', {1: "is not an object", 2: "is not an object"}),
        (b'{\n "text": "a"\n}\n{\n "text": ""\n}\n', {4: "its text is empty"}),
        (b'{"version": 1, "data": [\n{"text": "a"}\n]}', {1: "it has the fields data, version"}),
        (b'[{"text": "a\\"]}{["}, {"text": "\\\\"}]', {}),
        (b"[]", {}),
    ],
)
@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_values_of_a_json_file_are_told_apart_at_any_chunk_size(
    content: bytes, bad: dict[int, str], chunk: int
) -> None:
    found = [one for one in read("a.json", content, chunk) if isinstance(one, BadLine)]
    assert {one.number for one in found} == set(bad)
    for one in found:
        assert bad[one.number] in one.reason


def test_a_huge_value_in_a_list_takes_no_more_memory_than_the_limit_of_a_record() -> None:
    def chunks() -> Any:
        yield b'[{"text": "first"},\n{"text": "'
        for _ in range(400):
            yield b"x" * 65536
        yield b'"},\n{"text": "last"}]'

    tracemalloc.start()
    found = list(upload.parse_records(chunks(), ".json"))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [one.example.source for one in found if isinstance(one, Record)] == ["first", "last"]
    [bad] = [one for one in found if isinstance(one, BadLine)]
    assert bad.number == 2 and "26,214,412 bytes" in bad.reason
    assert peak_bytes < 12 * LINE_BYTES_LIMIT


def test_an_open_quote_takes_the_rest_of_a_table_and_is_named_by_its_line() -> None:
    found = read("a.csv", b'text,label\ngood,a\n"open,b\nnever,c\n')
    assert [one.example.target for one in found if isinstance(one, Record)] == ["a"]
    assert [(one.number, one.reason) for one in found if isinstance(one, BadLine)] == [
        (3, "a quote is opened and not closed")
    ]


def test_chosen_fields_are_read_in_place_of_the_known_ones() -> None:
    rows = b"review,stars,text\nfine,5,x\nbad,1,y\n"
    found = read("a.csv", rows, columns={"text": "review", "label": "stars"})
    assert [contents(one) for one in found if isinstance(one, Record)] == [("fine", "5"), ("bad", "1")]
    assert found[0].unread == ("text",)  # type: ignore[union-attr]
    [missing] = read("a.jsonl", b'{"body": "x"}', columns={"text": "review"})
    assert isinstance(missing, BadLine) and missing.reason == "it has no field review"


def test_rows_of_a_parquet_file_with_nested_columns_are_chats() -> None:
    import pyarrow
    from pyarrow import parquet

    out = io.BytesIO()
    chat = [{"content": "Hi", "role": "user"}, {"content": "Hello", "role": "assistant"}]
    table = pyarrow.Table.from_pylist([{"prompt": "Hi", "prompt_id": "1", "messages": chat}] * 3)
    parquet.write_table(table, out)
    found = read("train-00000-of-00001.parquet", out.getvalue())
    assert [contents(one)[0] for one in found] == [  # type: ignore[arg-type]
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    ] * 3
    assert found[0].unread == ("prompt", "prompt_id")  # type: ignore[union-attr]

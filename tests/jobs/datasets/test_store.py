"""Uploads stored as data sets: complete or not at all, once per content, with every refused line reported."""

from __future__ import annotations

import csv
import io
import json

import pytest

from jobs import datasets
from jobs.datasets import DatasetError
from jobs.models import Dataset, DatasetEvent, DatasetPart

pytestmark = pytest.mark.django_db


@pytest.fixture
def store(team, owner):
    def store_file(content: bytes | list[bytes], file_name: str = "letters.jsonl", **changes):
        pieces = [content] if isinstance(content, bytes) else content
        values = {"team": team, "owner": owner, "name": ""} | changes
        return datasets.store_upload(file_name=file_name, chunks=iter(pieces), **values)

    return store_file


def pairs(count: int) -> bytes:
    return "".join(f"{json.dumps({'source': f's {n}', 'target': f't {n}'})}\n" for n in range(count)).encode()


def test_good_lines_are_ready_at_once_with_their_figures(store):
    made = store(pairs(3), licence="CC0")
    assert (made.state, made.kind, made.num_good, made.num_bad) == ("ready", "pairs", 3, 0)
    assert (made.name, made.licence) == ("letters", "CC0")
    assert made.statistics == {"chars": {"source": 9, "target": 9}, "longest": {"source": 3, "target": 3}}
    assert datasets.first_rows(made, 2) == [("s 0", "t 0"), ("s 1", "t 1")]
    assert "3 good lines, 0 refused" in made.events.get().text


def test_a_file_with_bad_lines_is_a_draft_until_it_is_accepted(store, owner):
    made = store(pairs(2) + b"=cmd()\n" + pairs(1))
    assert (made.state, made.num_good, made.num_bad) == ("draft", 3, 1)
    assert [line["number"] for line in datasets.refused_lines(made)] == [3]
    datasets.accept_draft(made, owner)
    made.refresh_from_db()
    assert made.state == "ready"
    with pytest.raises(DatasetError, match="no longer a draft"):
        datasets.discard_draft(made, owner)


def test_a_discarded_draft_leaves_only_an_event(store, owner):
    datasets.discard_draft(store(b"nonsense\n"), owner)
    assert not Dataset.objects.exists()
    assert not DatasetPart.objects.exists()
    assert "Discarded" in DatasetEvent.objects.order_by("-id")[0].text


def test_a_file_without_a_good_line_cannot_be_accepted(store, owner):
    made = store(b"nonsense\nmore\n")
    with pytest.raises(DatasetError, match="No line"):
        datasets.accept_draft(made, owner)
    assert len(datasets.refused_lines(made)) == 2


def test_the_report_lists_every_refused_line_with_formulas_escaped(store):
    made = store(b'=HYPERLINK("http://x")\n+1\n@SUM(A1)\n-2\n"quoted, and more\n')
    rows = list(csv.reader(io.StringIO("".join(datasets.refused_csv(made)))))
    assert [row[0] for row in rows] == ["line", "1", "2", "3", "4", "5"]
    assert all(row[2].startswith("'") for row in rows[1:5])
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_the_same_content_is_stored_once_per_team(store, other_team, stranger):
    first = store(pairs(5))
    assert store(pairs(5).replace(b"\n", b"\r\n"), "copy.jsonl").id == first.id
    assert store(pairs(5), team=other_team, owner=stranger).id != first.id


def test_a_large_file_is_fetched_byte_for_byte(store, settings, tmp_path):
    content = pairs(60_000)
    made = store([content[start : start + 65_536] for start in range(0, len(content), 65_536)])
    assert made.parts.count() > 2
    path = datasets.fetch_dataset(f"dataset:{made.id}", tmp_path)
    assert path is not None
    lines = path.read_bytes().splitlines()
    assert len(lines) == 60_000
    assert json.loads(lines[-1]) == {"source": "s 59999", "target": "t 59999"}
    assert datasets.fetch_dataset(f"dataset:{made.id}", tmp_path) == path


def test_a_copy_with_a_wrong_checksum_is_not_kept(store, tmp_path):
    made = store(pairs(10))
    Dataset.objects.filter(id=made.id).update(sha256="0" * 64)
    with pytest.raises(datasets.FetchError, match="does not match its SHA-256"):
        datasets.fetch_dataset(f"dataset:{made.id}", tmp_path)
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x.jsonl", "C:\\\\temp\\\\x.jsonl", "a/\0b/x.jsonl", "x\n.jsonl"]
)
def test_no_file_name_becomes_a_path(store, name):
    assert store(pairs(2), name).file_name == "x.jsonl"


@pytest.mark.parametrize(
    ("content", "file_name", "reason"),
    [
        (b"PK\x03\x04bomb", "x.txt", "a ZIP archive"),
        (b"", "x.txt", "holds no text"),
        (b"text", "x.zip", "Unpack the archive"),
        (b"text", "GPL-3", "has none of the suffixes .txt"),
        (b"text", ".jsonl", "no printable name"),
        (b"", "\0", "no printable name"),
    ],
)
def test_refused_files_leave_nothing(store, content, file_name, reason):
    with pytest.raises(DatasetError, match=reason):
        store(content, file_name)
    assert not Dataset.objects.exists()


def test_a_file_over_the_limit_is_refused_during_the_upload(store, settings):
    settings.DATASET_LIMIT_BYTES = 1000
    sent = []

    def pieces():
        for _ in range(100):
            sent.append(1)
            yield pairs(10)

    with pytest.raises(DatasetError, match="limit of 1,000 bytes"):
        store(pieces())
    assert len(sent) < 10


def test_a_licence_keeps_its_printable_characters(store):
    assert store(pairs(2), licence="CC\0 BY\n 4.0" + "x" * 300).licence == ("CC BY 4.0" + "x" * 300)[:200]


def test_an_unreadable_name_is_refused(store):
    for name in ("x" * 101, "a\0b", "\u202eevil"):
        with pytest.raises(DatasetError, match="A name has"):
            store(pairs(2), name=name)


def test_fields_that_are_not_read_are_counted(store):
    rows = [{"text": f"t {n}", "url": "x"} | ({"meta": {"a": 1}} if n % 2 else {}) for n in range(200)]
    made = store("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    assert (made.num_good, made.num_bad, made.statistics["unread"]) == (200, 0, {"url": 200, "meta": 100})
    assert "url (200), meta (100)" in made.events.get().text


def test_names_of_unread_fields_are_bounded(store):
    rows = [{"text": "t", f"name {n}\0\u202e": n} for n in range(500)]
    made = store("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    assert made.num_good == 500
    assert len(made.statistics["unread"]) == 51 and made.statistics["unread"]["others"] == 450


@pytest.mark.parametrize(
    ("file_name", "reason"),
    [("a.xlsx", "Save the table as .csv"), ("a.arrow", "Convert the table to .parquet"),
     ("a.tar.gz", "Unpack the archive"), ("a.docx", "has none of the suffixes")],
)  # fmt: skip
def test_a_suffix_is_refused_for_its_own_reason(file_name, reason, store):
    with pytest.raises(DatasetError, match=reason):
        store(b"x", file_name)

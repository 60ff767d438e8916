"""An upload becomes a data set: whole or not at all, kept once, with nothing dropped silently."""

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
def take(team, owner):
    def take_file(content: bytes | list[bytes], file_name: str = "letters.jsonl", **said):
        pieces = [content] if isinstance(content, bytes) else content
        values = {"team": team, "owner": owner, "name": ""} | said
        return datasets.take(file_name=file_name, pieces=iter(pieces), **values)

    return take_file


def pairs(count: int) -> bytes:
    return "".join(f"{json.dumps({'source': f's {n}', 'target': f't {n}'})}\n" for n in range(count)).encode()


def test_good_lines_are_ready_at_once_with_their_figures(take):
    made = take(pairs(3), licence="CC0")
    assert (made.state, made.kind, made.num_good, made.num_bad) == ("ready", "pairs", 3, 0)
    assert (made.name, made.licence) == ("letters", "CC0")
    assert made.statistics == {"chars": {"source": 9, "target": 9}, "longest": {"source": 3, "target": 3}}
    assert datasets.rows(made, 2) == [("s 0", "t 0"), ("s 1", "t 1")]
    assert "3 good lines, 0 refused" in made.events.get().text


def test_a_file_with_bad_lines_waits_for_somebody_to_decide(take, owner):
    made = take(pairs(2) + b"=cmd()\n" + pairs(1))
    assert (made.state, made.num_good, made.num_bad) == ("draft", 3, 1)
    assert [told["number"] for told in datasets.refused(made)] == [3]
    datasets.keep(made, owner)
    made.refresh_from_db()
    assert made.state == "ready"
    with pytest.raises(DatasetError, match="no draft any more"):
        datasets.discard(made, owner)


def test_a_draft_that_is_thrown_away_leaves_nothing_but_an_event(take, owner):
    datasets.discard(take(b"nonsense\n"), owner)
    assert not Dataset.objects.exists()
    assert not DatasetPart.objects.exists()
    assert "thrown away" in DatasetEvent.objects.order_by("-id")[0].text


def test_a_file_without_one_good_line_cannot_be_kept(take, owner):
    made = take(b"nonsense\nmore\n")
    with pytest.raises(DatasetError, match="Not one line"):
        datasets.keep(made, owner)
    assert len(datasets.refused(made)) == 2


def test_the_report_lists_every_line_and_no_spreadsheet_runs_it(take):
    made = take(b'=HYPERLINK("http://x")\n+1\n@SUM(A1)\n-2\n"quoted, and more\n')
    rows = list(csv.reader(io.StringIO("".join(datasets.as_csv(made)))))
    assert [row[0] for row in rows] == ["line", "1", "2", "3", "4", "5"]
    assert all(row[2].startswith("'") for row in rows[1:5])
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))]


def test_the_same_content_is_kept_once_in_a_team_whatever_the_file_is_called(take, other_team, stranger):
    first = take(pairs(5))
    assert take(pairs(5).replace(b"\n", b"\r\n"), "copy.jsonl").id == first.id
    assert take(pairs(5), team=other_team, owner=stranger).id != first.id


def test_a_large_file_comes_back_byte_by_byte(take, settings, tmp_path):
    content = pairs(60_000)
    made = take([content[start : start + 65_536] for start in range(0, len(content), 65_536)])
    assert made.parts.count() > 2
    path = datasets.bring(f"dataset:{made.id}", tmp_path)
    assert path is not None
    lines = path.read_bytes().splitlines()
    assert len(lines) == 60_000
    assert json.loads(lines[-1]) == {"source": "s 59999", "target": "t 59999"}
    assert datasets.bring(f"dataset:{made.id}", tmp_path) == path


def test_what_did_not_come_whole_is_never_under_its_name(take, tmp_path):
    made = take(pairs(10))
    Dataset.objects.filter(id=made.id).update(sha256="0" * 64)
    with pytest.raises(datasets.NotBrought, match="did not come whole"):
        datasets.bring(f"dataset:{made.id}", tmp_path)
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x.jsonl", "C:\\\\temp\\\\x.jsonl", "a/\0b/x.jsonl", "x\n.jsonl"]
)
def test_no_file_name_becomes_a_path(take, name):
    assert take(pairs(2), name).file_name == "x.jsonl"


@pytest.mark.parametrize(
    ("content", "file_name", "reason"),
    [
        (b"PK\x03\x04bomb", "x.txt", "a ZIP archive"),
        (b"", "x.txt", "holds no text"),
        (b"text", "x.zip", "Unpack archives before uploading"),
        (b"text", "GPL-3", "has none of the suffixes .txt"),
        (b"text", ".jsonl", "no name"),
        (b"", "\0", "no name"),
    ],
)
def test_files_that_cannot_be_taken_leave_nothing(take, content, file_name, reason):
    with pytest.raises(DatasetError, match=reason):
        take(content, file_name)
    assert not Dataset.objects.exists()


def test_more_than_the_limit_is_refused_while_it_comes(take, settings):
    settings.DATASET_LIMIT_BYTES = 1000
    sent = []

    def pieces():
        for _ in range(100):
            sent.append(1)
            yield pairs(10)

    with pytest.raises(DatasetError, match="larger than 1,000 bytes"):
        take(pieces())
    assert len(sent) < 10


def test_a_licence_is_kept_as_far_as_it_can_be_printed(take):
    assert take(pairs(2), licence="CC\0 BY\n 4.0" + "x" * 300).licence == ("CC BY 4.0" + "x" * 300)[:200]


def test_a_name_is_one_that_can_be_read(take):
    for name in ("x" * 101, "a\0b", "\u202eevil"):
        with pytest.raises(DatasetError, match="A name has"):
            take(pairs(2), name=name)

"""Prepared corpora: split, tokenizers, and one build per content."""

from __future__ import annotations

import multiprocessing
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from engine.data import build_once, files, objectives, prepare, segments
from engine.spec.parts import Data
from engine.spec.spec import SpecError, parse


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    words = [f"line {number}: über {number * 7919 % 1000} bottles\n" for number in range(6000)]
    (folder / "song.txt").write_text("".join(words))
    return folder


def test_the_split_keeps_every_character_and_holds_out_the_requested_share() -> None:
    documents = ["".join(f"{n}.{line} some words\n" for line in range(900)) for n in range(20)]
    train, held_out = segments.split(documents, 0.1)
    whole = "".join(documents)
    assert Counter("".join(train) + "".join(held_out)) == Counter(whole)
    assert len("".join(held_out)) == pytest.approx(0.1 * len(whole), rel=0.25)
    assert segments.split(documents, 0.1) == (train, held_out)


def test_equal_units_go_to_one_part() -> None:
    header = "licence " * (segments.UNIT_CHARS // 8)
    documents = [header + f"tail {n} " * 300 for n in range(40)]
    for share in (0.1, 0.3, 0.5):
        train, held_out = segments.split(documents, share)
        sides = [side for side in (train, held_out) if any(header in segment for segment in side)]
        assert len(sides) == 1
        assert sum(segment.count(header) for segment in sides[0]) == 40


def test_a_text_of_one_unit_stays_in_training() -> None:
    assert segments.split(["short"], 0.5) == (["short"], [])


def test_byte_tokens_are_the_text_and_segments_end_with_nul(root: Path, tmp_path: Path) -> None:
    prepared = prepare.prepare(Data(corpus="song.txt", tokenizer="bytes"), root, tmp_path / "data")
    text = (root / "song.txt").read_text()
    segments = bytes(prepared.train.astype(np.uint8)).decode().split("\0")[:-1]
    assert all(segment in text for segment in segments)
    assert len(prepared.train) == prepared.meta["train_bytes"] + len(segments)
    assert prepared.meta["train_bytes"] + prepared.meta["validation_bytes"] == len(text.encode())


def test_bpe_tokens_decode_to_the_text_and_are_fewer(root: Path, tmp_path: Path) -> None:
    data = Data(corpus="song.txt", vocab_size=400)
    prepared = prepare.prepare(data, root, tmp_path / "data")
    tokenizer = Tokenizer.from_file(str(prepared.folder / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 400
    assert int(prepared.train.max()) < 400
    end = tokenizer.token_to_id("\u0100")
    segments = np.split(prepared.validation, np.flatnonzero(prepared.validation == end) + 1)[:-1]
    text = (root / "song.txt").read_text()
    assert segments
    assert all(tokenizer.decode(segment[:-1].tolist()) in text for segment in segments)
    assert len(prepared.train) < prepared.meta["train_bytes"] / 2


def test_the_smallest_vocabulary_is_every_byte(root: Path, tmp_path: Path) -> None:
    prepared = prepare.prepare(Data(corpus="song.txt", vocab_size=256), root, tmp_path / "data")
    assert len(np.unique(prepared.train)) > 20
    assert int(prepared.train.max()) < 256


def test_a_second_call_does_not_read_the_corpus(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Data(corpus="song.txt", tokenizer="bytes")
    first = prepare.prepare(data, root, tmp_path / "data")

    def must_not_run(*_: object) -> None:
        raise AssertionError("the text was read again")

    monkeypatch.setattr(files, "iterate_examples", must_not_run)
    assert prepare.prepare(data, root, tmp_path / "data").folder == first.folder


def test_only_the_first_call_reports_progress(root: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    for _ in range(2):
        prepare.prepare(Data(corpus="song.txt", vocab_size=300), root, tmp_path / "data", messages.append)
    assert [text.split()[0] for text in messages] == ["Reading", "Training", "Tokenising"]
    assert "a BPE of 300 tokens on" in messages[1]


def test_changed_text_or_settings_give_other_tokens(root: Path, tmp_path: Path) -> None:
    def folder(**values: object) -> Path:
        return prepare.prepare(Data(corpus="song.txt", **values), root, tmp_path / "data").folder  # type: ignore[arg-type]

    seen = [
        folder(tokenizer="bytes"),
        folder(vocab_size=300),
        folder(vocab_size=301),
        folder(validation_share=0.2),
    ]
    (root / "song.txt").write_text("another song\n" * 500)
    seen.append(folder(tokenizer="bytes"))
    assert len(set(seen)) == len(seen)


def test_two_files_with_the_same_text_share_one_folder(root: Path, tmp_path: Path) -> None:
    shutil.copy(root / "song.txt", root / "copy.txt")
    folders = {
        prepare.prepare(Data(corpus=name, tokenizer="bytes"), root, tmp_path / "data").folder
        for name in ("song.txt", "copy.txt")
    }
    assert len(folders) == 1


def test_a_prepared_built_in_corpus_has_its_licence_and_hash(tmp_path: Path) -> None:
    meta = prepare.prepare(Data(corpus="python-docs", tokenizer="bytes"), tmp_path, tmp_path / "data").meta
    assert meta["licence"] == "PSF-2.0"
    assert len(meta["content_sha256"]) == 64


def test_a_text_shorter_than_the_context_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "note.txt").write_text("hello world")
    prepared = prepare.prepare(Data(corpus="note.txt", tokenizer="bytes"), root, tmp_path / "data")
    with pytest.raises(SpecError, match="training part of the corpus has 12 tokens"):
        objectives.refuse_unfit(parse({"model": {"context": 16}}), prepared)


def _count_builds(folder: str, log: str) -> None:
    def build(temporary: Path) -> None:
        with open(log, "a") as file:
            file.write("built\n")
        (temporary / "whole").write_text("yes")

    assert (build_once.build_once(Path(folder) / "thing", build) / "whole").read_text() == "yes"


def test_many_processes_build_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=_count_builds, args=(str(tmp_path / "d"), str(tmp_path / "log")))
        for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_failed_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def fail(temporary: Path) -> None:
        (temporary / "half").write_text("no")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        build_once.build_once(tmp_path / "thing", fail)
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]
    assert build_once.build_once(
        tmp_path / "thing", lambda temporary: (temporary / "whole").write_text("yes") and None
    ).is_dir()

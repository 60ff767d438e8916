"""Published tokenizers: ids of the real libraries, special tokens, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from engine.data import prepare
from engine.data.pretrained import PretrainedTokenizer
from engine.data.special_tokens import NO_TOKEN
from engine.data.tokenizer_files import TokenizerError, find_files
from engine.spec.parts import Data
from engine.spec.spec import SpecError
from tests.engine.data.published_tokenizers import KINDS, draw_texts, make_folder, train_sentencepiece

TEXTS = draw_texts(1000, seed=20261201)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """folder(kind): the folder of a tokenizer, made once."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind == "sentencepiece":
            pytest.importorskip("sentencepiece")
        if kind not in made:
            made[kind] = make_folder(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return get


def ids_of_the_library(path: Path, kind: str) -> list[list[int]]:
    """The ids of TEXTS by the library of the kind alone."""
    if kind == "sentencepiece":
        from sentencepiece import SentencePieceProcessor

        return [list(ids) for ids in SentencePieceProcessor(str(path / "tokenizer.model")).encode(TEXTS)]
    from transformers import PreTrainedTokenizerFast

    real = PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
    return [list(ids) for ids in real(TEXTS, add_special_tokens=False)["input_ids"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_texts_in_ten_scripts_have_the_ids_of_the_real_library(kind: str, folder: Any) -> None:
    found = PretrainedTokenizer.load(folder(kind)).encode(TEXTS)
    assert [ids.tolist() for ids in found] == ids_of_the_library(folder(kind), kind)
    assert max(map(len, found)) > 30, "nothing is cut, whatever the file says"


@pytest.mark.parametrize("kind", KINDS)
def test_spans_are_those_of_the_same_ids_and_cover_the_text(kind: str, folder: Any) -> None:
    tokenizer = PretrainedTokenizer.load(folder(kind))
    for text in TEXTS[:200]:
        found = tokenizer.encode_spans(text)
        assert found.ids == tokenizer.encode([text])[0].tolist()
        assert all(0 <= start <= stop <= len(text) for start, stop in found.spans)
        covered = np.zeros(len(text), bool)
        for start, stop in found.spans:
            covered[start:stop] = True
        assert all(
            covered[at] for at, character in enumerate(text) if character.isascii() and character.isalnum()
        )


@pytest.mark.parametrize(
    ("kind", "begin", "separator", "end", "mask"),
    [
        ("bpe", "<|endoftext|>", "Ċ", "<|endoftext|>", None),
        ("byte_fallback", "<s>", "\n", "</s>", None),
        ("unigram", "</s>", "\n", "</s>", None),
        ("wordpiece", "[CLS]", "[SEP]", "[SEP]", "[MASK]"),
        ("sentencepiece", "<s>", "<0x0A>", "</s>", None),
    ],
)
def test_special_tokens_are_those_of_the_tokenizer(
    kind: str, begin: str, separator: str, end: str, mask: str | None, folder: Any
) -> None:
    tokenizer = PretrainedTokenizer.load(folder(kind))
    special = tokenizer.specials
    assert special.begin == tokenizer.token_id(begin)
    assert special.separator == tokenizer.token_id(separator)
    assert special.end == tokenizer.token_id(end)
    assert special.mask == (NO_TOKEN if mask is None else tokenizer.token_id(mask))


def test_decoding_ends_at_the_end_token_and_never_raises(folder: Any) -> None:
    for kind in ("bpe", "byte_fallback", "sentencepiece"):
        tokenizer = PretrainedTokenizer.load(folder(kind))
        [ids] = tokenizer.encode(["some words here"])
        assert tokenizer.decode([-1, *ids, tokenizer.specials.end, *ids, 10**6]) == "some words here"


def test_special_tokens_in_a_rendered_chat_are_single_ids(folder: Any) -> None:
    for kind, marker in (("bpe", "<|im_start|>"), ("byte_fallback", "</s>"), ("sentencepiece", "</s>")):
        tokenizer = PretrainedTokenizer.load(folder(kind))
        found = tokenizer.encode_spans(f"one{marker}two")
        at = found.ids.index(tokenizer.token_id(marker))
        assert found.spans[at] == (3, 3 + len(marker))
        assert tokenizer.encode(["one"])[0].tolist() == found.ids[:at]


def test_ids_of_the_model_serve_where_the_tokenizer_names_no_end(tmp_path: Path) -> None:
    make_folder(tmp_path, "byte_fallback", eos_token=None, bos_token=None)
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": [5, 2], "decoder_start_token_id": 9}))
    special = PretrainedTokenizer.load(tmp_path).specials
    assert (special.end, special.begin) == (5, 9)


def test_a_copy_in_a_data_set_or_checkpoint_is_the_same_tokenizer(folder: Any, tmp_path: Path) -> None:
    for kind in KINDS:
        if kind == "sentencepiece":
            pytest.importorskip("sentencepiece")
        target = tmp_path / kind
        target.mkdir()
        find_files(folder(kind)).copy_to(target)
        one, two = PretrainedTokenizer.load(folder(kind)), PretrainedTokenizer.load(target)
        assert one.specials == two.specials and one.files.hash() == two.files.hash()
        assert one.special_texts == two.special_texts
        assert [ids.tolist() for ids in one.encode(TEXTS[:50])] == [
            ids.tolist() for ids in two.encode(TEXTS[:50])
        ]


def test_a_large_vocabulary_is_stored_in_32_bits(tmp_path: Path) -> None:
    words = {f"w{n}": n for n in range(70_000)} | {"</s>": 70_000, "[UNK]": 70_001}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    from tokenizers import pre_tokenizers

    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    (tmp_path / "own").mkdir()
    tokenizer.save(str(tmp_path / "own/tokenizer.json"))
    (tmp_path / "text.txt").write_text("".join(f"w{n * 7 % 70_000} w{69_999 - n}\n" for n in range(9000)))
    data = Data(corpus="text.txt", tokenizer="pretrained", tokenizer_path="own", vocab_size=70_144)
    prepared = prepare.prepare(data, tmp_path, tmp_path / "data")
    assert prepared.train.dtype == prepared.validation.dtype == np.uint32  # type: ignore[union-attr]
    assert prepared.train[-1] == 70_000
    assert int(prepared.train.max()) == 70_000  # type: ignore[union-attr]
    assert (prepared.folder / "tokenizer.json").exists()
    small = data.model_copy(update={"vocab_size": 65_536})
    with pytest.raises(SpecError, match=r"70,002 tokens; data\.vocab_size is 65,536") as caught:
        prepare.prepare(small, tmp_path, tmp_path / "data")
    assert caught.value.problems[0].fix == {"data.vocab_size": 70_002}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "it has none of tokenizer.json"),
        ({"vocab.json": "{}", "merges.txt": ""}, "a vocabulary without tokenizer.json"),
        ({"tokenizer.json": "{"}, "tokenizer.json cannot be read"),
        ({"tokenizer.model": "IQ== 0\nIg== 1\n"}, "is not a SentencePiece model"),
        ({"sentencepiece.bpe.model": "x"}, "numbers its tokens otherwise"),
        ({"tokenizer.json": "{}", "tokenizer_config.json": "["}, "tokenizer_config.json is not JSON"),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused_with_its_reason(
    files: dict[str, str], reason: str, tmp_path: Path
) -> None:
    if "tokenizer.model" in files:
        pytest.importorskip("sentencepiece")
    (tmp_path / "own").mkdir()
    for name, content in files.items():
        (tmp_path / "own" / name).write_text(content)
    with pytest.raises(TokenizerError, match=reason):
        PretrainedTokenizer.load(tmp_path / "own")
    (tmp_path / "a.txt").write_text("text")
    data = Data(corpus="a.txt", tokenizer="pretrained", tokenizer_path="own")
    with pytest.raises(SpecError, match="The tokenizer own cannot be used") as caught:
        prepare.prepare(data, tmp_path, tmp_path / "data")
    assert caught.value.problems[0].field == "data.tokenizer_path"


def test_a_tokenizer_outside_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "elsewhere", "wordpiece")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("../elsewhere", "link", str(tmp_path / "elsewhere")):
        data = Data(tokenizer="pretrained", tokenizer_path=name)
        with pytest.raises(SpecError, match="outside the data folder"):
            prepare.find_tokenizer(data, root)


def test_models_of_sentencepiece_with_other_options_have_its_ids(tmp_path: Path) -> None:
    pytest.importorskip("sentencepiece")
    for number, options in enumerate(
        [{"model_type": "bpe"}, {"add_dummy_prefix": False}, {"remove_extra_whitespaces": False},
         {"pad_id": 0, "unk_id": 3, "eos_id": 1, "bos_id": -1}]
    ):  # fmt: skip
        path = tmp_path / str(number)
        path.mkdir()
        (path / "spiece.model").write_bytes(train_sentencepiece(draw_texts(300, seed=number), **options))
        (path / "spiece.model").rename(path / "tokenizer.model")
        found = PretrainedTokenizer.load(path).encode(TEXTS)
        assert [ids.tolist() for ids in found] == ids_of_the_library(path, "sentencepiece")

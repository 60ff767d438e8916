"""From a corpus to memory-mapped tokens on disk, once per text and tokenizer."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.data.corpora import BY_NAME, Document, file_documents, file_stamp
from engine.data.once import built_once
from engine.directory import write_atomically
from engine.parts import Data
from engine.spec import Problem, SpecError

PREPARE_VERSION = 1  # goes up when the same text would become other tokens
UNIT_CHARS = 4096  # the split into training and validation goes by units of about this size, cut at line ends

# The specification allows at most 65,536 tokens, so 16 bits always hold one.
Tokens = npt.NDArray[np.uint16]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Prepared:
    """Tokens of both parts, mapped read-only, and meta.json's content."""

    folder: Path
    train: Tokens
    validation: Tokens
    meta: dict[str, Any]


def prepare(data: Data, corpus_root: Path, data_dir: Path, say: Say = lambda text: None) -> Prepared:
    """The corpus of a spec as tokens; milliseconds once it is there. Safe from many processes at once; the one that
    builds tells by `say` what it is about to do. Raises SpecError (unusable file) and OSError."""
    identity, documents = _source(data.corpus, corpus_root, data_dir)
    settings = {
        "version": PREPARE_VERSION, "corpus": identity, "tokenizer": data.tokenizer,
        "vocab_size": 256 if data.tokenizer == "bytes" else data.vocab_size,
        "validation_share": data.validation_share,
    }  # fmt: skip
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]
    folder = built_once(
        data_dir / "tokens" / key, lambda aside: _build(aside, documents(), settings, data, say)
    )
    return _load(folder)


def _load(folder: Path) -> Prepared:
    meta = json.loads((folder / "meta.json").read_bytes())
    return Prepared(folder, _mapped(folder / "train.bin"), _mapped(folder / "validation.bin"), meta)


def _mapped(path: Path) -> Tokens:
    # An empty file cannot be mapped; a text of a few lines leaves the validation part empty.
    return np.memmap(path, np.uint16, "r") if path.stat().st_size else np.zeros(0, np.uint16)


def _source(name: str, root: Path, data_dir: Path) -> tuple[str, Callable[[], Iterator[Document]]]:
    """What identifies the text without reading it again, and how to read it."""
    if name in BY_NAME:
        return BY_NAME[name].identity, BY_NAME[name].documents
    return f"sha256 {_file_hash(name, root, data_dir)}", lambda: file_documents(name, root)


def _file_hash(name: str, root: Path, data_dir: Path) -> str:
    """A file's SHA-256, remembered for as long as inode, size and change time stay."""
    stamp = [str(root), name, *file_stamp(name, root)]
    memory = data_dir / "hashes" / f"{hashlib.sha256(f'{root}/{name}'.encode()).hexdigest()[:24]}.json"
    try:
        known = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):
        known = {}
    if known.get("stamp") != stamp:
        known = {"stamp": stamp, "sha256": _content_hash(file_documents(name, root))}
        memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(memory, json.dumps(known).encode())
    return str(known["sha256"])


def _content_hash(documents: Iterable[Document]) -> str:
    digest = hashlib.sha256()
    for document in documents:
        digest.update(document.text.encode() + b"\0")
    return digest.hexdigest()


def _build(
    folder: Path, documents: Iterator[Document], settings: dict[str, Any], data: Data, say: Say
) -> None:
    say(f"Reading the corpus {data.corpus}")
    texts = list(documents)
    train, validation = split(texts, data.validation_share)
    size = f"{sum(len(text) for text in train):,} characters of {len(texts):,} documents"
    if data.tokenizer == "bpe":
        say(f"Training a BPE of {data.vocab_size:,} tokens on {size}")
    encode = _byte_encoder() if data.tokenizer == "bytes" else _bpe_encoder(train, data.vocab_size, folder)
    meta = settings | {
        "content_sha256": _content_hash(texts),
        "documents": len(texts),
        "licence": BY_NAME[data.corpus].licence if data.corpus in BY_NAME else "as given by its owner",
    }
    say(f"Tokenising {size}")
    for part, segments in (("train", train), ("validation", validation)):
        tokens = encode(segments)
        meta |= {f"{part}_tokens": len(tokens), f"{part}_bytes": sum(len(text.encode()) for text in segments)}
        with open(folder / f"{part}.bin", "wb") as file:
            tokens.tofile(file)
            file.flush()
            os.fsync(file.fileno())
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))


def split(documents: list[Document], validation_share: float) -> tuple[list[str], list[str]]:
    """Training and validation segments. Units go by the order of their hash, so that the choice depends on the
    text alone and equal units (licence headers) land on one side; neighbours on one side stay one segment."""
    units = [list(_units(document.text)) for document in documents]
    size_of: dict[str, int] = {}
    for unit in (unit for group in units for unit in group):
        digest = _unit_hash(unit)
        size_of[digest] = size_of.get(digest, 0) + len(unit)
    wanted, held_out = validation_share * sum(size_of.values()), set[str]()
    for digest in sorted(size_of):
        if wanted <= 0 or len(held_out) + 1 == len(size_of):
            break
        held_out.add(digest)
        wanted -= size_of[digest]
    parts: tuple[list[str], list[str]] = ([], [])
    for group in units:
        side: bool | None = None
        for unit in group:
            previous, side = side, _unit_hash(unit) in held_out
            if side is previous:
                parts[side][-1] += unit
            else:
                parts[side].append(unit)
    return parts


def _unit_hash(unit: str) -> str:
    return hashlib.sha256(unit.encode()).hexdigest()


def _units(text: str) -> Iterator[str]:
    """The text cut at line ends into pieces of about UNIT_CHARS; a longer line is cut where it must be."""
    start = 0
    while start < len(text):
        end = min(start + UNIT_CHARS, len(text))
        if end < len(text):
            end = text.rfind("\n", start + UNIT_CHARS // 2, end) + 1 or end
        yield text[start:end]
        start = end


# A segment ends with the token of the byte NUL, which no text holds; so no vocabulary needs an extra token.
Encoder = Callable[[list[str]], Tokens]


def _byte_encoder() -> Encoder:
    return lambda segments: np.frombuffer(b"".join(s.encode() + b"\0" for s in segments), np.uint8).astype(
        np.uint16
    )


def _bpe_encoder(train: list[str], vocab_size: int, folder: Path) -> Encoder:
    """Byte-level BPE (Sennrich et al., arXiv 1508.07909; byte alphabet as in GPT-2) learnt on the training part."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(train, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    end = np.array([tokenizer.token_to_id("\u0100")], np.uint16)  # how the byte alphabet writes NUL

    def encode(segments: list[str]) -> Tokens:
        encodings = tokenizer.encode_batch_fast(segments, add_special_tokens=False)
        pieces = [piece for encoding in encodings for piece in (np.array(encoding.ids, np.uint16), end)]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.uint16)

    return encode


def refuse_too_small(prepared: Prepared, context: int) -> None:
    """Raise SpecError if either part holds less than one sequence."""
    for part, tokens in (("training", prepared.train), ("validation", prepared.validation)):
        if len(tokens) < context + 1:
            message = (
                f"The {part} part of the corpus has {len(tokens):,} tokens; one sequence of context {context:,} "
                f"needs {context + 1:,}. Shorten the context or give more text."
            )
            raise SpecError([Problem("model.context", message, {"model.context": max(8, len(tokens) - 1)})])

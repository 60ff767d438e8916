"""From a corpus to memory-mapped tokens on disk, once per content and tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from engine.data import builders, files
from engine.data.arrays import Tokens, mapped
from engine.data.corpora import BY_NAME, DATASET_PREFIX, refuse_other_kind
from engine.data.examples import Example, Examples, read_examples
from engine.data.lines import Kind
from engine.data.once import built_once
from engine.directory import write_atomically
from engine.spec.parts import Data

PREPARE_VERSION = 1  # goes up when the same text would become other tokens
DATASETS = "datasets"  # below the data folder: uploaded data sets as the agent has fetched them

Say = Callable[[str], object]


@dataclass(frozen=True)
class Prepared:
    """Both parts, mapped read-only, and meta.json's content. A part is one sequence of tokens, or examples."""

    folder: Path
    train: Tokens | Examples
    validation: Tokens | Examples
    meta: dict[str, Any]

    @property
    def unit(self) -> str:
        """What the length of a part counts."""
        return "examples" if isinstance(self.train, Examples) else "tokens"


def prepare(
    data: Data, corpus_root: Path, data_dir: Path, say: Say = lambda text: None, tokenizer: Path | None = None
) -> Prepared:
    """The corpus of a spec as tokens; milliseconds once it is there. Safe from many processes at once; the one that
    builds tells by `say` what it is about to do. `tokenizer`: the file of a BPE to use instead of training one.
    Raises SpecError (unusable file) and OSError."""
    source = _source(data.corpus, corpus_root, data_dir)
    refuse_other_kind(data.corpus, source.kind, data.objective)
    settings: dict[str, Any] = {
        "version": PREPARE_VERSION, "corpus": source.identity(), "tokenizer": data.tokenizer,
        "vocab_size": 256 if data.tokenizer == "bytes" else data.vocab_size,
        "validation_share": data.validation_share,
    }  # fmt: skip
    if source.kind != "text":
        settings["kind"] = source.kind  # texts came first, and theirs are kept under keys without it
    if tokenizer is not None:
        settings["tokenizer_sha256"] = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]

    def build(aside: Path) -> None:
        say(f"Reading the corpus {data.corpus}")
        found = list(source.read())
        meta = settings | {
            "content_sha256": _content_hash(found),
            "documents": len(found),
            "licence": BY_NAME[data.corpus].licence if data.corpus in BY_NAME else "as given by its owner",
        }
        meta |= builders.build(aside, found, source.kind, data, say, tokenizer)
        (aside / "meta.json").write_text(json.dumps(meta, indent=1))

    return _load(built_once(data_dir / "tokens" / key, build), source.kind)


def _load(folder: Path, kind: Kind) -> Prepared:
    meta = json.loads((folder / "meta.json").read_bytes())
    read = (lambda part: mapped(folder / f"{part}.bin")) if kind == "text" else partial(read_examples, folder)
    train, validation = (read(part) for part in builders.PARTS)
    return Prepared(folder, train, validation, meta)


@dataclass(frozen=True)
class _Source:
    """A corpus found: what it holds, what identifies it without reading it again, and how to read it."""

    kind: Kind
    identity: Callable[[], str]
    read: Callable[[], Iterable[Example]]


def _source(name: str, root: Path, data_dir: Path) -> _Source:
    """Raises SpecError when there is no such corpus here."""
    if name in BY_NAME:
        corpus = BY_NAME[name]
        if said := corpus.absent():
            raise files.refusal(said)
        return _Source(corpus.kind, lambda: corpus.identity, corpus.read)
    if name.startswith(DATASET_PREFIX):
        root, name = data_dir / DATASETS, f"{name.removeprefix(DATASET_PREFIX)}.jsonl"
    kind = files.kind_of(name, root)
    return _Source(
        kind, lambda: f"sha256 {_file_hash(name, root, data_dir)}", lambda: files.examples(name, root)
    )


def _file_hash(name: str, root: Path, data_dir: Path) -> str:
    """A file's SHA-256, remembered for as long as inode, size and change time stay."""
    stamp = [str(root), name, *files.stamp(name, root)]
    memory = data_dir / "hashes" / f"{hashlib.sha256(f'{root}/{name}'.encode()).hexdigest()[:24]}.json"
    try:
        known = json.loads(memory.read_bytes())
    except (FileNotFoundError, ValueError):
        known = {}
    if known.get("stamp") != stamp:
        known = {"stamp": stamp, "sha256": _content_hash(files.examples(name, root))}
        memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(memory, json.dumps(known).encode())
    return str(known["sha256"])


def _content_hash(examples: Iterable[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.source.encode() + b"\0")
        if example.target:
            digest.update(example.target.encode() + b"\0")
    return digest.hexdigest()

"""Prepared corpora: memory-mapped tokens, built once per content and tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from engine.data import builders, files
from engine.data.arrays import Tokens, map_array
from engine.data.build_once import build_once
from engine.data.builders import ReportProgress
from engine.data.corpora import BY_NAME, DATASET_PREFIX, refuse_other_kind
from engine.data.examples import Example, Examples, read_examples
from engine.data.lines import Kind
from engine.small_files import write_atomically
from engine.spec.parts import Data

PREPARE_VERSION = 1  # increase it when the same text would become other tokens
DATASETS = "datasets"  # subfolder of the data folder with the uploaded data sets that the agent has fetched


@dataclass(frozen=True)
class PreparedData:
    """Both parts of a corpus, mapped read-only, with its meta.json. A part is one token sequence or examples."""

    folder: Path
    train: Tokens | Examples
    validation: Tokens | Examples
    meta: dict[str, Any]

    @property
    def unit(self) -> str:
        """What the length of a part counts: 'examples' or 'tokens'."""
        return "examples" if isinstance(self.train, Examples) else "tokens"


def prepare(
    data: Data,
    corpus_root: Path,
    data_dir: Path,
    report_progress: ReportProgress = lambda text: None,
    tokenizer: Path | None = None,
) -> PreparedData:
    """Return the tokens of a spec's corpus, building them if they do not exist; later calls take milliseconds.

    Safe to call from many processes at once; the one that builds calls `report_progress` before each stage.
    `tokenizer` is the file of a BPE to use instead of training one. Raises SpecError (unusable file) and OSError.
    """
    source = _find_source(data.corpus, corpus_root, data_dir)
    refuse_other_kind(data.corpus, source.kind, data.objective)
    settings: dict[str, Any] = {
        "version": PREPARE_VERSION, "corpus": source.identity(), "tokenizer": data.tokenizer,
        "vocab_size": 256 if data.tokenizer == "bytes" else data.vocab_size,
        "validation_share": data.validation_share,
    }  # fmt: skip
    if source.kind != "text":
        settings["kind"] = source.kind  # left out for texts, whose keys are older than the other kinds
    if tokenizer is not None:
        settings["tokenizer_sha256"] = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]

    def build(temporary: Path) -> None:
        report_progress(f"Reading the corpus {data.corpus}")
        found = list(source.read())
        meta = settings | {
            "content_sha256": _content_hash(found),
            "documents": len(found),
            "licence": BY_NAME[data.corpus].licence if data.corpus in BY_NAME else "as given by its owner",
        }
        meta |= builders.build(temporary, found, source.kind, data, report_progress, tokenizer)
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1))

    return _load(build_once(data_dir / "tokens" / key, build), source.kind)


def _load(folder: Path, kind: Kind) -> PreparedData:
    meta = json.loads((folder / "meta.json").read_bytes())
    read = (
        (lambda part: map_array(folder / f"{part}.bin")) if kind == "text" else partial(read_examples, folder)
    )
    train, validation = (read(part) for part in builders.PARTS)
    return PreparedData(folder, train, validation, meta)


@dataclass(frozen=True)
class _CorpusSource:
    """A corpus that exists: its kind, its identity without reading it again, and its reader."""

    kind: Kind
    identity: Callable[[], str]
    read: Callable[[], Iterable[Example]]


def _find_source(name: str, root: Path, data_dir: Path) -> _CorpusSource:
    """Find the corpus. Raises SpecError if it does not exist on this machine."""
    if name in BY_NAME:
        corpus = BY_NAME[name]
        if reason := corpus.missing_reason():
            raise files.corpus_error(reason)
        return _CorpusSource(corpus.kind, lambda: corpus.identity, corpus.read)
    if name.startswith(DATASET_PREFIX):
        root, name = data_dir / DATASETS, f"{name.removeprefix(DATASET_PREFIX)}.jsonl"
    kind = files.detect_kind(name, root)
    return _CorpusSource(
        kind, lambda: f"sha256 {_file_hash(name, root, data_dir)}", lambda: files.iterate_examples(name, root)
    )


def _file_hash(name: str, root: Path, data_dir: Path) -> str:
    """Return the SHA-256 of a file, cached until its inode, size or change time changes."""
    stamp = [str(root), name, *files.file_stamp(name, root)]
    cache = data_dir / "hashes" / f"{hashlib.sha256(f'{root}/{name}'.encode()).hexdigest()[:24]}.json"
    try:
        cached = json.loads(cache.read_bytes())
    except (FileNotFoundError, ValueError):
        cached = {}
    if cached.get("stamp") != stamp:
        cached = {"stamp": stamp, "sha256": _content_hash(files.iterate_examples(name, root))}
        cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(cache, json.dumps(cached).encode())
    return str(cached["sha256"])


def _content_hash(examples: Iterable[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.source.encode() + b"\0")
        if example.target:
            digest.update(example.target.encode() + b"\0")
    return digest.hexdigest()

"""Prepared corpora: memory-mapped tokens, built once per content and tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from engine.data import builders, files
from engine.data.arrays import Tokens, map_array, token_type
from engine.data.build_once import build_once
from engine.data.builders import ReportProgress
from engine.data.corpora import BY_NAME, DATASET_PREFIX, refuse_other_kind
from engine.data.examples import Example, Examples, read_examples
from engine.data.lines import Kind
from engine.data.pretrained import PretrainedTokenizer
from engine.data.special_tokens import SpecialTokens, special_tokens
from engine.data.tokenizer_files import TokenizerError, TokenizerFiles, find_files
from engine.small_files import write_atomically
from engine.spec.parts import Data
from engine.spec.problems import Problem, SpecError

PREPARE_VERSION = 1  # increase it when the same text would become other tokens
CHAT_VERSION = 1  # likewise for chats
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

    @property
    def specials(self) -> SpecialTokens:
        """Special ids of the tokenizer."""
        found = self.meta.get("specials")
        return SpecialTokens(**found) if found else special_tokens(self.meta["tokenizer"])


def prepare(
    data: Data,
    corpus_root: Path,
    data_dir: Path,
    report_progress: ReportProgress = lambda text: None,
    tokenizer: Path | None = None,
) -> PreparedData:
    """Return the tokens of a spec's corpus, building them if they do not exist; later calls take milliseconds.

    Safe to call from many processes at once; the one that builds calls `report_progress` before each stage.
    `tokenizer` is the folder of a tokenizer to use: in place of training a BPE, or the published one of the initial
    weights. Raises SpecError (unusable file) and OSError.
    """
    source = _find_source(data.corpus, corpus_root, data_dir)
    refuse_other_kind(data.corpus, source.kind, data.objective)
    files_of_tokenizer = find_tokenizer(data, corpus_root, tokenizer)
    settings: dict[str, Any] = {
        "version": PREPARE_VERSION, "corpus": source.identity(), "tokenizer": data.tokenizer,
        "vocab_size": 256 if data.tokenizer == "bytes" else data.vocab_size,
        "validation_share": data.validation_share,
    }  # fmt: skip
    if source.kind != "text":
        settings["kind"] = source.kind  # left out for texts, whose keys are older than the other kinds
    if data.objective == "chat":
        settings["chat"] = CHAT_VERSION
    if files_of_tokenizer is not None and data.tokenizer == "bpe":
        settings["tokenizer_sha256"] = hashlib.sha256(files_of_tokenizer.vocabulary.read_bytes()).hexdigest()
    elif files_of_tokenizer is not None:
        settings["tokenizer_sha256"] = files_of_tokenizer.hash()
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:24]

    def build_folder(temporary: Path) -> None:
        report_progress(f"Reading the corpus {data.corpus}")
        found = list(source.read())
        meta = settings | {
            "content_sha256": _content_hash(found),
            "documents": len(found),
            "licence": BY_NAME[data.corpus].licence if data.corpus in BY_NAME else "as given by its owner",
        }
        build = builders.Build(temporary, source.kind, data, report_progress, files_of_tokenizer)
        meta |= build.fill(found)
        (temporary / "meta.json").write_text(json.dumps(meta, indent=1))

    return _load(build_once(data_dir / "tokens" / key, build_folder))


def find_tokenizer(data: Data, corpus_root: Path, given: Path | None = None) -> TokenizerFiles | None:
    """Find the tokenizer that a spec names, or that of the initial weights; None if one is made here.

    Raises SpecError on field data.tokenizer_path, or on data.vocab_size if the tokenizer has more tokens.
    """
    if data.tokenizer == "bytes" or (data.tokenizer == "bpe" and given is None):
        return None
    path, field = given, "data.tokenizer_path"
    try:
        if path is None:
            path = _resolve(data.tokenizer_path, corpus_root)
        found = find_files(path)
        if data.tokenizer == "bpe":
            return found
        size = _count_tokens(found.vocabulary, found.hash())
    except (TokenizerError, OSError) as error:
        title = f"The tokenizer {data.tokenizer_path or 'of the initial weights'} cannot be used"
        reason = getattr(error, "strerror", None) or error
        raise SpecError([Problem(field, f"{title}: {reason}.")]) from None
    if size > data.vocab_size:
        message = f"The tokenizer has {size:,} tokens; data.vocab_size is {data.vocab_size:,}. Raise it."
        raise SpecError([Problem("data.vocab_size", message, {"data.vocab_size": size})])
    return found


@lru_cache(maxsize=16)
def _count_tokens(vocabulary: Path, content: str) -> int:
    """Return the number of tokens; `content` is the hash of the files, so that each content is loaded once."""
    return PretrainedTokenizer(find_files(vocabulary)).size


def check_tokenizer(data: Data, corpus_root: Path) -> None:
    """Raise SpecError unless the tokenizer that a spec names can be used; that of initial weights is not known here."""
    if data.tokenizer == "pretrained" and data.tokenizer_path:
        find_tokenizer(data, corpus_root)


def _resolve(name: str, root: Path) -> Path:
    """Return the path of a tokenizer in the data folder. Raises TokenizerError."""
    if not name:
        raise TokenizerError("name its folder, or start from weights that have one")
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise TokenizerError("it is outside the data folder")
    return path


def _load(folder: Path) -> PreparedData:
    meta = json.loads((folder / "meta.json").read_bytes())
    kind = token_type(meta["vocab_size"])
    is_examples = (folder / "train.source.bin").exists()
    read = (
        partial(read_examples, folder, kind)
        if is_examples
        else lambda part: map_array(folder / f"{part}.bin", kind)
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

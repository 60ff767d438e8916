"""Preview of packed sequences: documents and trained tokens, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.chat_tokens import ChatEncoder, chat_from_example
from engine.data.documents import build_documents
from engine.data.examples import Example, Examples, Sequences
from engine.data.lines import Kind
from engine.data.packing import Document, pack
from engine.data.pretrained import PretrainedTokenizer
from engine.data.special_tokens import IGNORED
from engine.data.template_sandbox import TemplateError
from engine.data.tokenizers import TURN_BEGIN, TURN_END, Tokenizer


@dataclass(frozen=True)
class Piece:
    """Adjacent tokens of one document that are all trained or all not."""

    text: str
    is_trained: bool
    num_tokens: int


@dataclass(frozen=True)
class PackedRow:
    """One sequence: its documents in order, and the tokens that no document fills."""

    documents: list[list[Piece]]
    num_tokens: int
    num_empty: int


@dataclass(frozen=True)
class PackingPreview:
    rows: list[PackedRow]
    num_sequences: int  # of all examples given
    num_examples: int
    fill_share: float
    refused: list[str]  # why chats are left out

    @property
    def fill_percent(self) -> str:
        return f"{100 * self.fill_share:.0f}"


def preview_packing(
    examples: Sequence[Example], kind: Kind, tokenizer: Tokenizer, context: int, limit: int
) -> PackingPreview:
    """Pack the examples and return the first `limit` sequences. Raises TemplateError for an unusable template."""
    refused: list[str] = []
    documents = (
        list(_text_documents(examples, tokenizer, context))
        if kind == "text"
        else list(_chat_documents(examples, kind, tokenizer, context, refused))
    )
    lengths = np.array([len(ids) for ids, _ in documents], np.int64)
    packed = pack(lengths, context)
    rows = []
    for numbers in packed[:limit]:
        used = int(lengths[numbers].sum())
        rows.append(
            PackedRow([_cut(documents[number], tokenizer) for number in numbers], used, context - used)
        )
    fill = float(lengths.sum()) / (len(packed) * context) if packed else 0.0
    return PackingPreview(rows, len(packed), len(documents), fill, refused)


def _text_documents(examples: Sequence[Example], tokenizer: Tokenizer, context: int) -> Iterator[Document]:
    """Texts, each with the token that ends it. A run cuts its stretches of text elsewhere."""
    for tokens in tokenizer.encode([example.source for example in examples]):
        ids = np.append(np.asarray(tokens, np.int64), tokenizer.specials.end)[: context + 1]
        if len(ids) > 1:
            yield ids[:-1], ids[1:]


def _chat_documents(
    examples: Sequence[Example], kind: Kind, tokenizer: Tokenizer, context: int, refused: list[str]
) -> Iterator[Document]:
    encoder = ChatEncoder(tokenizer)
    found = []
    for example in examples:
        try:
            found.append(encoder.encode(chat_from_example(example, kind)))
        except TemplateError as error:
            refused.append(str(error))
    if found:
        ends = np.cumsum([len(one.tokens) for one in found], dtype=np.int64)
        tokens = Sequences(np.concatenate([one.tokens for one in found]), ends)
        trained = Sequences(np.concatenate([one.trained for one in found]).astype(np.uint8), ends)
        documents = build_documents(Examples(tokens, None, None, trained), context, tokenizer.specials)
        yield from (documents[number] for number in range(len(found)))


def _cut(document: Document, tokenizer: Tokenizer) -> list[Piece]:
    """Cut a document where trained tokens begin or end. A target is the token after its input."""
    inputs, targets = document
    is_last_trained = len(targets) > 0 and targets[-1] != IGNORED
    ids = np.append(inputs, targets[-1:]) if is_last_trained else inputs
    trained = np.append(False, targets != IGNORED)[: len(ids)]
    borders = np.flatnonzero(np.diff(trained)) + 1
    parts = zip(np.split(ids, borders), np.split(trained, borders), strict=True)
    return [
        Piece(show_tokens(tokenizer, part), bool(flags[0]), len(part)) for part, flags in parts if len(part)
    ]


def show_tokens(tokenizer: Tokenizer, ids: np.ndarray) -> str:
    """Return the text of ids with the special tokens in it."""
    if isinstance(tokenizer, PretrainedTokenizer):
        return tokenizer.show(ids.tolist())
    special = tokenizer.specials
    names = {special.begin: TURN_BEGIN, special.end: TURN_END, special.separator: " → "}
    marks = np.flatnonzero(np.isin(ids, list(names)))
    shown = []
    for part in np.split(ids, np.unique(np.concatenate([marks, marks + 1]))):
        shown.append(
            names[int(part[0])] if len(part) == 1 and int(part[0]) in names else tokenizer.decode(part)
        )
    return "".join(shown)

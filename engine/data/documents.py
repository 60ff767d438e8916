"""Documents of a decoder: chats and pairs as ids with targets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.data.examples import Examples
from engine.data.packing import Document, Documents
from engine.data.paired import prompt_ids
from engine.data.special_tokens import IGNORED, SpecialTokens


class ChatDocuments:
    """Chats; only tokens of answers are targets. A long chat is truncated to the context."""

    def __init__(self, examples: Examples, context: int) -> None:
        assert examples.trained is not None
        self._tokens, self._trained, self._context = examples.sources, examples.trained, context
        self.lengths = np.clip(examples.sources.lengths - 1, 1, context)
        self.real_targets = _count_trained(examples.trained.tokens, examples.sources.lengths, context)

    def __getitem__(self, number: int) -> Document:
        ids = np.asarray(self._tokens[number][: self._context + 1], np.int64)
        trained = np.asarray(self._trained[number][: self._context + 1], bool)
        if len(ids) < 2:  # a chat of one token has nothing to predict
            return ids[:1], np.full(len(ids[:1]), IGNORED, np.int64)
        return ids[:-1], np.where(trained[1:], ids[1:], IGNORED)


class PairDocuments:
    """Pairs as source, separator, target, end; only tokens of the target are predicted."""

    def __init__(self, examples: Examples, context: int, special: SpecialTokens) -> None:
        assert examples.targets is not None
        self._sources, self._answers = examples.sources, examples.targets
        self._context, self._special = context, special
        prompts = np.minimum(
            examples.sources.lengths + 1,
            np.maximum(context - examples.targets.lengths, context - context // 2),
        )
        self.real_targets = np.minimum(examples.targets.lengths + 1, context + 1 - prompts)
        self.lengths = prompts + self.real_targets - 1

    def __getitem__(self, number: int) -> Document:
        answer = np.append(np.asarray(self._answers[number], np.int64), self._special.end)
        prompt = prompt_ids(self._sources[number], len(answer), self._context, self._special)
        whole = np.concatenate([prompt, answer])[: self._context + 1]
        targets = whole[1:].copy()
        targets[: len(prompt) - 1] = IGNORED
        return whole[:-1], targets


def build_documents(examples: Examples, context: int, special: SpecialTokens) -> Documents:
    if examples.trained is not None:
        return ChatDocuments(examples, context)
    return PairDocuments(examples, context, special)


def _count_trained(
    trained: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int64], context: int
) -> npt.NDArray[np.int64]:
    """Count the targets of each chat: its trained tokens but the first, as far as the context reaches."""
    if not len(lengths):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    counts = np.zeros(len(lengths), np.int64)
    filled = lengths > 0
    counts[filled] = np.add.reduceat(trained, starts[filled], dtype=np.int64)
    counts[filled] -= trained[starts[filled]]
    for number in np.flatnonzero(lengths > context + 1):
        counts[number] = int(trained[starts[number] + 1 : starts[number] + context + 1].sum())
    return counts

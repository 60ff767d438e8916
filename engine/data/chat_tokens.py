"""Chats as tokens, with those of the answers marked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.data.arrays import Tokens, token_type
from engine.data.chat_template import CHATML, ChatTemplate
from engine.data.chats import CHOSEN
from engine.data.encodings import Encoding, Span
from engine.data.examples import Example
from engine.data.lines import Kind
from engine.data.pretrained import PretrainedTokenizer
from engine.data.template_sandbox import GENERATION_BEGIN, GENERATION_END, TemplateError
from engine.data.tokenizers import TURN_BEGIN, TURN_END, Tokenizer

Trained = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ChatTokens:
    """Tokens of a chat; True where one belongs to an answer."""

    tokens: Tokens
    trained: Trained


class ChatEncoder:
    """Turns chats into tokens by the template of a tokenizer, or by ChatML."""

    def __init__(self, tokenizer: Tokenizer, template: str | None = None) -> None:
        """Raises TemplateError for a template that cannot be used."""
        self._tokenizer = tokenizer
        own = tokenizer if isinstance(tokenizer, PretrainedTokenizer) else None
        self._type = token_type(own.size if own else 0)
        turn_end, tokens = TURN_END, dict(own.special_texts) if own else {}
        if own and own.token_id(TURN_END) is None:
            turn_end = tokens.get("eos_token", TURN_END)
        source = template or (own and own.chat_template) or CHATML
        self.template = ChatTemplate(source, {"turn_begin": TURN_BEGIN, "turn_end": turn_end} | tokens)

    def encode(self, chat: dict[str, Any]) -> ChatTokens:
        """Raises TemplateError if the template refuses the chat."""
        for message in chat["messages"]:
            if GENERATION_BEGIN in message["content"] or GENERATION_END in message["content"]:
                raise TemplateError("it contains U+FDD0 or U+FDD1, which are not characters")
        text, answers = self.template.render_answers(chat)
        found = self._tokenizer.encode_spans(text)
        return ChatTokens(np.array(found.ids, self._type), mark_answers(found, answers))


def mark_answers(found: Encoding, answers: Sequence[Span]) -> Trained:
    """Return which ids stand for a character of an answer; `answers` are in order."""
    trained = np.zeros(len(found.ids), bool)
    if answers and found.ids:
        starts, stops = np.array(found.spans).T
        begins, ends = np.array(answers).T
        # The first answer that ends behind the start of the token: does it begin before the token's end?
        number = np.searchsorted(ends, starts, side="right")
        trained = (number < len(ends)) & (begins[np.minimum(number, len(ends) - 1)] < stops)
    return trained


def chat_from_example(example: Example, kind: Kind) -> dict[str, Any]:
    """Return the chat of an example of any kind that the objective chat reads."""
    if kind == "pairs":
        turns = {"user": example.source, "assistant": example.target}
        return {"messages": [{"role": role, "content": text} for role, text in turns.items()]}
    chat: dict[str, Any] = json.loads(example.source)
    if kind == "preference":
        chat["messages"] = [*chat["messages"], *json.loads(example.target)[CHOSEN]]
    return chat

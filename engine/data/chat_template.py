"""Chat templates: messages to one text, with the characters of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateSyntaxError

from engine.data.chats import Message, is_trained
from engine.data.encodings import Span
from engine.data.template_sandbox import (
    CHARS_LIMIT,
    GENERATION_BEGIN,
    GENERATION_END,
    TemplateError,
    TemplateSandbox,
)

MARKS = (GENERATION_BEGIN, GENERATION_END)
# ChatML (OpenAI, 2023), for tokenizers without a template.
CHATML = (
    "{% for message in messages %}{{ turn_begin ~ message['role'] ~ '\\n' }}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] ~ turn_end }}{% endgeneration %}"
    "{% else %}{{ message['content'] ~ turn_end }}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ turn_begin ~ 'assistant\\n' }}{% endif %}"
)
NO_ANSWERS = "the chat template does not show where the answers of this chat begin and end"


class ChatTemplate:
    """A template with the special tokens of its tokenizer."""

    def __init__(self, source: str, tokens: Mapping[str, str]) -> None:
        """Raises TemplateError for a template that is not Jinja."""
        self._sandbox, self._tokens = TemplateSandbox(), dict(tokens)
        try:
            self._template = self._sandbox.from_string(source)
        except (TemplateSyntaxError, RecursionError, AssertionError) as error:
            line = getattr(error, "lineno", None)
            raise TemplateError(f"it is not Jinja: {error}" + (f" in line {line}" if line else "")) from None

    def render(self, messages: Sequence[Message], tools: Any = None, asks: bool = False) -> str:
        """Return the text of the messages; if `asks`, with the beginning of an answer. Raises TemplateError."""
        return _unmark(self._render(messages, tools, asks))

    def render_answers(self, chat: Mapping[str, Any]) -> tuple[str, list[Span]]:
        """Return the text of a chat and the characters of its answers, each with the mark that ends it.

        Raises TemplateError if the template refuses the chat or does not show where the answers are.
        """
        messages, tools = chat["messages"], chat.get("tools")
        marked = self._render(messages, tools, False)
        text = _unmark(marked)
        if GENERATION_BEGIN in marked:
            spans = _marked_spans(marked)
            answers = [message for message in messages if message["role"] == "assistant"]
            if len(spans) == len(answers):  # one mark for each answer: some may be taken out
                spans = [span for span, one in zip(spans, answers, strict=True) if is_trained(one)]
        else:
            trained = [number for number, one in enumerate(messages) if is_trained(one)]
            spans = [self._find_answer(text, messages, tools, number) for number in trained]
        spans = [(start, start + len(text[start:stop].rstrip())) for start, stop in spans]
        return text, [(start, stop) for start, stop in spans if stop > start]

    def _find_answer(self, text: str, messages: Sequence[Message], tools: Any, number: int) -> Span:
        """Find an answer by rendering the chat up to it, or, where the template treats the last turn otherwise than
        earlier ones, by marking its content."""
        before, after = messages[:number], messages[: number + 1]
        asked, whole = self._try(before, tools, True), self._try(after, tools, False)
        plain = self._try(before, tools, False)
        content = self._find_content(text, messages, tools, number)
        # A template that ignores add_generation_prompt may still write a heading before the answer.
        has_prompt = bool(asked) and asked != plain and text.startswith(asked)
        if has_prompt:
            start = len(asked)
        elif content:
            start = content[0]
        elif asked and text.startswith(asked):
            start = len(asked)
        else:
            raise TemplateError(NO_ANSWERS)
        if whole and text.startswith(whole):
            stop = len(whole)
        elif content:
            stop = content[1] + len(self._ending(after, tools, text[content[1] :]))
        else:
            raise TemplateError(NO_ANSWERS)
        if stop < start or messages[number]["content"].strip() not in text[start:stop]:
            raise TemplateError(NO_ANSWERS)
        return start, stop

    def _find_content(self, text: str, messages: Sequence[Message], tools: Any, number: int) -> Span | None:
        """Find the content of a message by marks around it, which the template must leave in place."""
        content = messages[number]["content"]
        changed = messages[number] | {"content": f"{MARKS[0]}{content}{MARKS[1]}"}
        marked = self._try([*messages[:number], changed, *messages[number + 1 :]], tools, False)
        if (
            not content
            or marked.count(MARKS[0]) != 1
            or marked.count(MARKS[1]) != 1
            or _unmark(marked) != text
        ):
            return None
        return marked.index(MARKS[0]), marked.index(MARKS[1]) - 1

    def _ending(self, after: Sequence[Message], tools: Any, rest: str) -> str:
        """Return what ends an answer at the end of a chat, if it also follows here."""
        alone = _unmark(self._try(after, tools, False))
        content = self._find_content(alone, after, tools, len(after) - 1)
        ending = alone[content[1] :].rstrip() if content else ""
        return ending if rest.startswith(ending) else ""

    def _try(self, messages: Sequence[Message], tools: Any, asks: bool) -> str:
        """'' if the template refuses the messages."""
        try:
            return self._render(messages, tools, asks)
        except TemplateError:
            return ""

    def _render(self, messages: Sequence[Message], tools: Any, asks: bool) -> str:
        self._sandbox.begin()
        values = self._tokens | {
            "messages": list(messages), "tools": tools, "documents": None, "add_generation_prompt": asks,
        }  # fmt: skip
        parts, size = list[str](), 0
        try:
            for part in self._template.generate(values):
                parts.append(part)
                size += len(part)
                if size > CHARS_LIMIT:
                    raise TemplateError(f"the chat template makes more than {CHARS_LIMIT:,} characters")
        except TemplateError:
            raise
        except Exception as error:  # noqa: BLE001 - a template may raise anything
            reason = f"{type(error).__name__}: {str(error)[:300]}"
            raise TemplateError(f"the chat template fails: {reason}") from None
        return "".join(parts)


def _unmark(text: str) -> str:
    return text.replace(MARKS[0], "").replace(MARKS[1], "")


def _marked_spans(marked: str) -> list[Span]:
    spans: list[Span] = []
    position = 0
    for part in marked.split(MARKS[0]):
        inside, mark, outside = part.partition(MARKS[1])
        if mark:
            spans.append((position, position + len(inside)))
        position += len(inside) + len(outside)
    return spans

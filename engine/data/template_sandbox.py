"""Sandbox for chat templates: Jinja with limits on access, time and memory."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

STEPS_LIMIT = 200_000  # turns of loops and calls of macros of one rendering
CHARS_LIMIT = 16 * 1024**2  # of a value or a rendering; a record has at most 1 MiB
NUMBER_BITS_LIMIT = 256
# A rendering is the same on every day; this is the day that Llama 3's template names without a clock.
TODAY = datetime.datetime(2024, 7, 26)
# Methods and filters that make a short text long.
LONG_METHODS = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "format", "format_map"})
LONG_FILTERS = ("center", "format", "indent", "wordwrap", "batch", "slice", "xmlattr", "pprint")
GENERATION_BEGIN, GENERATION_END = "\ufdd0", "\ufdd1"  # no text has them: they are not characters
_LONG_WIDTH = re.compile(r"%[^a-zA-Z%]*(\*|\d{4})")


class TemplateError(ValueError):
    """A chat template cannot be used, or refuses a chat; the message gives the reason."""


class _Generation(Extension):
    """{% generation %} marks what the assistant writes, as in transformers."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Any) -> str:
        return f"{GENERATION_BEGIN}{caller()}{GENERATION_END}"


class TemplateSandbox(ImmutableSandboxedEnvironment):
    """The environment of one template. Not for several threads at once."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        self._steps = 0
        for name in LONG_FILTERS:
            self.filters.pop(name, None)
        self.globals.pop("lipsum", None)
        self.filters["tojson"] = _to_json
        self.globals |= {"raise_exception": _raise, "strftime_now": TODAY.strftime}

    def begin(self) -> None:
        """Allow a rendering its steps."""
        self._steps = 0

    def count_step(self) -> str:
        self._steps += 1
        if self._steps > STEPS_LIMIT:
            raise SecurityError(f"it takes more than {STEPS_LIMIT:,} steps")
        return ""

    def join_texts(self, *values: Any) -> str:
        texts = [str(value) for value in values]
        _check_chars(sum(map(len, texts)))
        return "".join(texts)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        """Count each turn of a loop and each call of a macro, and join texts within the limit."""
        counted: list[nodes.For | nodes.Macro] = [*source.find_all(nodes.For), *source.find_all(nodes.Macro)]
        for found in counted:
            call = nodes.Call(nodes.EnvironmentAttribute("count_step"), [], [], None, None)
            found.body.insert(0, nodes.ExprStmt(call, lineno=found.lineno))
        for joined in list(source.find_all(nodes.Concat)):
            whole = nodes.Call(nodes.EnvironmentAttribute("join_texts"), joined.nodes, [], None, None)
            joined.nodes = [whole]
        return super()._generate(source, *args, **kwargs)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr in LONG_METHODS:
            return False
        return super().is_safe_attribute(obj, attr, value)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        found = super().call(*args, **kwargs)
        if isinstance(found, str | list | tuple):
            _check_chars(len(found))
        return found

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str) and _LONG_WIDTH.search(left):
            raise SecurityError("it fills a text to a great width")
        if operator == "**" and not (abs(left) < 2**64 and 0 <= right <= 4):
            raise SecurityError("it computes too large a number")
        if operator == "*":
            size, times = (left, right) if isinstance(right, int) else (right, left)
            if isinstance(size, str | list | tuple) and isinstance(times, int):
                _check_chars(len(size) * max(times, 0))
        if operator == "+" and isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
            _check_chars(len(left) + len(right))
        found = super().call_binop(context, operator, left, right)
        if isinstance(found, int) and found.bit_length() > NUMBER_BITS_LIMIT:
            raise SecurityError("it computes too large a number")
        return found


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """As in transformers: without escapes for HTML."""
    if isinstance(indent, int) and indent > 100:
        raise SecurityError("it indents too far")
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise(message: Any) -> None:
    raise TemplateError(str(message)[:500])


def _check_chars(size: int) -> None:
    if size > CHARS_LIMIT:
        raise SecurityError(f"it makes a text of more than {CHARS_LIMIT:,} characters")

"""Seeded generators of hostile texts, values and bodies."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

ODD = (
    "", " ", "0", "-1", "1" + "0" * 30, "-" + "9" * 40, "1e999", "-1e999", "nan", "inf", "²", "٣",
    "null", "true", "'", '"', "`",
    "%", "%%", "_", "\\", "\x00", "\ud800", "\u202eabc", "\ufeff", "💥", "a" * 251, "a" * 9_000,
    "a." * 3_000, "../../x", "//[",
    "http://[", "http://a:99999/", "javascript:alert(1)", "<script>", "{{ 7 * 7 }}", "%s%n", "$(x)",
    "; drop", "0x" + "f" * 300,
    "1:2:3", "2024-99-99", "0001-01-01", "9999-12-31T23:59:59Z", "1..2", "..", "1e-4..1e-2 log x99",
    "~", "*", "&a", "!!x", "---",
)  # fmt: skip
FILTER_WORDS = (
    "state", "name", "owner", "steps", "devices", "created", "param:a", "param:optimiser.learning_rate",
    "tag:x", 'metric:"a/b"',
    "loss", "last(loss)", "min(loss)", "max(a.b)", "mean()", "and", "or", "not", "in", "is", "none",
    "(", ")", ",", "=", "!=", "<",
    ">=", "~", "!~", "1", "1e999", "-3d", "2h", "'x'", '"y\\"', "running", "verdict", "duration",
    "project", "energy",
)  # fmt: skip
OPERATORS = ("=", "!=", "<", "~", "!~")
SEARCH_WORDS = (
    "metrics.a", "params.`b c`", "tags.mlflow.runName", "attributes.status", "run_id", "start_time",
    "dataset.name", "AND", "OR",
    "IN", "NOT", "LIKE", "ILIKE", "IS", "NULL", "(", ")", ",", "=", "!=", "<", ">=", "1", "1e999",
    "-.5", "'x'", '"y"', "'%_%'",
    "`", "'", '"', "'a%'", "end_time", "metrics.\"", "DESC", "ASC",
)  # fmt: skip
YAML_PIECES = (
    "model:", "  layers: 4", "  width: 128", "seed: 0xff", "name: x", "- a", "? b", "[", "]", "{", "}",
    "a: {b: {c: {d: 1}}}", "&a x",
    "*a", "!!python/object:x y", "!!binary xx", "<<: {a: 1}", "|", ">", "'", '"', "# c", "\t",
    "%YAML 9", "---", "...", "budget:",
    "  steps: -1", "  steps: 1e400", "optimiser: {learning_rate: .nan}", "data: {corpus: ../../x}",
    "parallel: {data: 99999999999}",
    "kind: fabric_test", "batch: {global_batch_size: 0}", "seed: 2024-99-99", "1:1:1.5", "name: [1, 2]",
    "model: null", "null: 1",
)  # fmt: skip
MARKDOWN_PIECES = (
    "//[", "http://[::1", "<//[>", "/compare/?run=x", "/compare/?filter=a((", "</v/abc/>", "/v/zzzz/",
    "[a](b", "![x](y)", "[a]: //[",
    "# h", "* a", "1. b", "> q", "```", "~~~x", "|a|b|\n|-|-|\n|c|", "<b>", "&#x0;", "&#9999999999;",
    "[x](<//[>)", "**", "_", "`",
    "\\", "---", "    code", "<http://[a>", "<a@b>", "[a][b]", "![", "](", "~~", "\u202e", "mailto:[",
    "http://xn--a.b/", "[y](http://ü[/)",
)  # fmt: skip
REPEATED = (
    "a",
    "1",
    "(",
    "[",
    "{",
    "<",
    "*",
    "_",
    "`",
    "'",
    '"',
    "\\",
    "a.",
    "a ",
    "- ",
    "[a](",
    "1,",
    "a=1&",
    "%",
    "not ",
    "..",
    "\n",
    "|",
    "**a ",
    "> ",
)


def text(drawn: random.Random) -> str:
    """An odd text: one from the list, a run of one piece, noise, or two of them."""
    kind = drawn.randrange(5)
    if kind == 0:
        return drawn.choice(REPEATED) * drawn.choice((1, 30, 300, 3_000, 16_000))
    if kind == 1:
        return "".join(
            chr(drawn.choice((drawn.randrange(128), drawn.randrange(0x3000))))
            for _ in range(drawn.randrange(40))
        )
    if kind == 2:
        return drawn.choice(ODD) + drawn.choice(ODD)
    return drawn.choice(ODD)


def words(drawn: random.Random, choices: Sequence[str], joint: str = " ", most: int = 30) -> str:
    """Words of a language in any order, now and then with an odd text among them, or very many."""
    count = drawn.choice((1, 3, 5, most, most * drawn.choice((1, 20, 200))))
    found = [drawn.choice(choices) for _ in range(count)]
    if drawn.random() < 0.2:
        found[drawn.randrange(count)] = text(drawn)
    return joint.join(found)


def filter_text(drawn: random.Random) -> str:
    if drawn.random() < 0.5:
        clauses = [
            f"{drawn.choice(FILTER_WORDS[:14])} {drawn.choice(OPERATORS)} {drawn.choice((*ODD, 'x', '1'))}"
            for _ in range(drawn.choice((1, 2, 5, 60)))
        ]
        return drawn.choice((" and ", " or ")).join(clauses)
    return words(drawn, FILTER_WORDS)


def search_text(drawn: random.Random) -> str:
    if drawn.random() < 0.5:
        pattern = drawn.choice(("%", "%a", "a%", "_", "%%a%", "[", "*")) * drawn.choice((1, 10, 200))
        clauses = [
            f"{drawn.choice(SEARCH_WORDS[:4])} {drawn.choice(('=', 'LIKE', 'ILIKE', '>'))} '{pattern}'"
            for _ in range(drawn.choice((1, 3, 30)))
        ]
        return " AND ".join(clauses)
    return words(drawn, SEARCH_WORDS)


def yaml_text(drawn: random.Random) -> str:
    return words(drawn, YAML_PIECES, drawn.choice(("\n", "\n", " ")), most=12)


def markdown_text(drawn: random.Random) -> str:
    return words(drawn, MARKDOWN_PIECES, drawn.choice(("\n\n", "\n", " ", "")), most=40)[:60_000]


def value(drawn: random.Random, depth: int = 0) -> Any:
    """A plain value of JSON, odd more often than not."""
    kind = drawn.randrange(10)
    if kind < 2 and depth < 4:
        return [value(drawn, depth + 1) for _ in range(drawn.choice((0, 1, 3)))]
    if kind < 4 and depth < 4:
        return {clean(text(drawn))[:60]: value(drawn, depth + 1) for _ in range(drawn.choice((0, 1, 3)))}
    plain: tuple[Callable[[], Any], ...] = (
        lambda: drawn.choice((0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400)),
        lambda: drawn.choice((0.5, -0.0, 1e308, float("nan"), float("inf"))),
        lambda: drawn.choice((None, True, False)),
        lambda: text(drawn),
    )
    return drawn.choice(plain)()


def clean(given: str) -> str:
    return given.replace("\x00", "").encode("utf-8", "ignore").decode()


def body(
    drawn: random.Random, fields: Sequence[str], known: Callable[[str], Any] = lambda name: None
) -> bytes:
    """A JSON body with some of the fields: each good, odd, twice or of another type; now and then no JSON at all."""
    kind = drawn.random()
    if kind < 0.03:
        depth = drawn.choice((33, 1_000, 50_000))
        return (drawn.choice(('{"a":', "[")) * depth).encode()
    if kind < 0.06:
        return text(drawn).encode("utf-8", "surrogatepass")
    if kind < 0.08:
        return json.dumps(value(drawn)).encode()
    is_tame = drawn.random() < 0.3
    chosen = [name for name in fields if (known(name) is not None if is_tame else drawn.random() < 0.6)]
    pairs = []
    for name in chosen:
        good = known(name)
        given = good if good is not None and (is_tame or drawn.random() < 0.6) else value(drawn)
        if not is_tame and drawn.random() < 0.05:
            most = 900_000 // len(json.dumps(given))
            given = [given] * min(drawn.choice((0, 2, 300, 5_000)), most)
        pairs.append((name, given))
    if pairs and not is_tame and drawn.random() < 0.05:
        pairs.append(drawn.choice(pairs))
    inside = ", ".join(f"{json.dumps(name)}: {json.dumps(given)}" for name, given in pairs)
    return f"{{{inside}}}".encode()[:900_000]

"""Rows of a data set as texts to show."""

from __future__ import annotations

import itertools
import json
from typing import NamedTuple

from engine.data.chats import CHOSEN, REJECTED, show_chat, show_messages
from engine.data.examples import Example
from engine.data.lines import Kind, parse_line
from jobs.datasets import content
from jobs.models import Dataset


class DatasetRow(NamedTuple):
    """One row of a data set; a text and a chat have no target."""

    source: str
    target: str


def first_rows(dataset: Dataset, limit: int) -> list[DatasetRow]:
    """The first `limit` rows."""
    found = [parse_line(line, ".jsonl") for line in itertools.islice(content.read_lines(dataset), limit)]
    return [shown_texts(record.kind, record.example) for record in found]


def shown_texts(kind: Kind, example: Example) -> DatasetRow:
    """Source and target of an example as a person reads them."""
    if kind == "chats":
        return DatasetRow(show_chat(example.source), "")
    if kind == "preference":
        answers = json.loads(example.target)
        sides = (f"{side}: {show_messages(answers[side])}" for side in (CHOSEN, REJECTED))
        return DatasetRow(show_chat(example.source), "\n".join(sides))
    return DatasetRow(example.source, example.target)

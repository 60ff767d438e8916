"""Preview of a data set's packed sequences, before a run is submitted."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from django.conf import settings

from engine.data.examples import Example
from engine.data.lines import Kind, parse_line
from engine.data.packed_preview import PackingPreview, preview_packing
from engine.data.prepare import find_tokenizer
from engine.data.pretrained import PretrainedTokenizer
from engine.data.template_sandbox import TemplateError
from engine.data.tokenizers import ByteTokenizer, Tokenizer
from engine.spec.parts import Data
from engine.spec.problems import SpecError
from jobs.datasets import content
from jobs.datasets.lifecycle import DatasetError
from jobs.models import Dataset

SEQUENCES_SHOWN = 20
ROWS_READ, BYTES_READ = 2000, 1024**2
CONTEXTS = (8, 32_768)
PACKED_KINDS = ("text", "pairs", "chats", "preference")


@dataclass(frozen=True)
class PackingQuestion:
    """What the preview is asked for: the tokenizer's path ('' for bytes) and the context."""

    tokenizer_path: str = ""
    context: int = 1024


def preview(dataset: Dataset, question: PackingQuestion) -> PackingPreview:
    """Pack the first rows of the data set. Raises DatasetError with the field of the form."""
    first, last = CONTEXTS
    if not first <= question.context <= last:
        raise DatasetError(f"A context has {first} to {last:,} tokens.", "context")
    tokenizer = _load_tokenizer(question.tokenizer_path)
    try:
        return preview_packing(
            _first_examples(dataset), cast(Kind, dataset.kind), tokenizer, question.context, SEQUENCES_SHOWN
        )
    except TemplateError as error:
        raise DatasetError(
            f"The chat template of the tokenizer cannot be used: {error}.", "tokenizer"
        ) from None


def _load_tokenizer(path: str) -> Tokenizer:
    if not path:
        return ByteTokenizer()
    data = Data(tokenizer="pretrained", tokenizer_path=path[:300], vocab_size=2**18)
    try:
        found = find_tokenizer(data, Path(settings.CORPUS_ROOT))
    except SpecError as error:
        raise DatasetError(error.problems[0].message, "tokenizer") from None
    assert found is not None
    return PretrainedTokenizer(found)


def _first_examples(dataset: Dataset) -> list[Example]:
    found, size = list[Example](), 0
    for line in itertools.islice(content.read_lines(dataset), ROWS_READ):
        size += len(line)
        if found and size > BYTES_READ:
            break
        found.append(parse_line(line, ".jsonl").example)
    return found

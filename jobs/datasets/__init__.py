"""Data sets uploaded by teams: storage, lookup, lifecycle and delivery to nodes."""

from jobs.datasets.fetch import FetchError, fetch_dataset
from jobs.datasets.find import (
    corpus_choices,
    get_dataset,
    refuse_unusable,
    runs_of,
)
from jobs.datasets.lifecycle import (
    DatasetError,
    accept_draft,
    change_details,
    delete_content,
    discard_draft,
    remove,
)
from jobs.datasets.packing import PACKED_KINDS, PackingQuestion, preview
from jobs.datasets.report import refused_csv, refused_lines
from jobs.datasets.rows import DatasetRow, first_rows
from jobs.datasets.store import parse_columns, store_upload

__all__ = [
    "PACKED_KINDS",
    "DatasetError",
    "DatasetRow",
    "FetchError",
    "PackingQuestion",
    "accept_draft",
    "change_details",
    "corpus_choices",
    "delete_content",
    "discard_draft",
    "fetch_dataset",
    "first_rows",
    "get_dataset",
    "parse_columns",
    "preview",
    "refuse_unusable",
    "refused_csv",
    "refused_lines",
    "remove",
    "runs_of",
    "store_upload",
]

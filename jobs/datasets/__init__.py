"""Data sets that teams upload: taken in, kept, found by runs, brought to nodes."""

from jobs.datasets.bring import NotBrought, bring
from jobs.datasets.find import Row, choices, dataset_named, refuse_unusable, rows, runs_of
from jobs.datasets.keep import DatasetError, change, delete, discard, keep, remove
from jobs.datasets.report import as_csv, refused
from jobs.datasets.take import take

__all__ = [
    "DatasetError",
    "NotBrought",
    "Row",
    "as_csv",
    "bring",
    "change",
    "choices",
    "dataset_named",
    "delete",
    "discard",
    "keep",
    "refuse_unusable",
    "refused",
    "remove",
    "rows",
    "runs_of",
    "take",
]

"""Import of runs from other trackers: file readers and storage."""

from jobs.imports.foreign import ForeignRun, ForeignWriter, ImportProblems, ImportRefused
from jobs.imports.store import ImportResult, format_left_out, import_run, link_parents

__all__ = [
    "ForeignRun",
    "ForeignWriter",
    "ImportProblems",
    "ImportRefused",
    "ImportResult",
    "format_left_out",
    "import_run",
    "link_parents",
]

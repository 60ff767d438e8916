"""Import of runs from other trackers: file readers and storage."""

from jobs.imports.foreign import ForeignRun, ForeignStream, ImportRefused
from jobs.imports.store import ImportResult, format_left_out, import_run, link_parents

__all__ = [
    "ForeignRun",
    "ForeignStream",
    "ImportRefused",
    "ImportResult",
    "format_left_out",
    "import_run",
    "link_parents",
]

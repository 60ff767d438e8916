"""Export of stored runs as files for other programs."""

from jobs.exports.formats import CONTENT_TYPES, FORMATS, ExportTable, Format, ParquetUnavailable, write_table
from jobs.exports.stored import points_table, run_tables

__all__ = [
    "CONTENT_TYPES",
    "FORMATS",
    "ExportTable",
    "Format",
    "ParquetUnavailable",
    "points_table",
    "run_tables",
    "write_table",
]

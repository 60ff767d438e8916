"""What is stored, as files for other programs."""

from jobs.exports.formats import CONTENT_TYPES, FORMATS, Format, NoParquet, Table, write
from jobs.exports.stored import points, tables

__all__ = ["CONTENT_TYPES", "FORMATS", "Format", "NoParquet", "Table", "points", "tables", "write"]

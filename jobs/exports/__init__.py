"""What is stored, as files for other programs."""

from jobs.exports.formats import FORMATS, Format, NoParquet, Table, write
from jobs.exports.stored import points, tables

__all__ = ["FORMATS", "Format", "NoParquet", "Table", "points", "tables", "write"]

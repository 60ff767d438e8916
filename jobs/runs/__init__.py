"""Filter language, order and columns of runs, compiled to queries."""

from jobs.runs.compiling import Asker
from jobs.runs.completing import Completion, Item, complete
from jobs.runs.fields import ATTRIBUTES, STATS, Field, FieldError, field_of, quoted
from jobs.runs.filtering import filtered, joined, order_of, ordered, page_of
from jobs.runs.known import keys
from jobs.runs.tokens import FilterError

__all__ = [
    "ATTRIBUTES",
    "STATS",
    "Asker",
    "Completion",
    "Field",
    "FieldError",
    "FilterError",
    "Item",
    "complete",
    "field_of",
    "filtered",
    "joined",
    "keys",
    "order_of",
    "ordered",
    "page_of",
    "quoted",
]

"""Filter language, order and columns of runs, compiled to queries."""

from jobs.runs.compiling import Asker
from jobs.runs.completing import Completion, Item, complete
from jobs.runs.fields import ATTRIBUTES, STATS, Field, FieldError, field_from_text, quoted
from jobs.runs.filtering import filtered, joined, order_from_text, ordered, page_of
from jobs.runs.known import keys
from jobs.runs.tokens import FilterError
from jobs.runs.usual_metrics import choose_usual_metrics

__all__ = [
    "ATTRIBUTES",
    "STATS",
    "Asker",
    "Completion",
    "Field",
    "FieldError",
    "FilterError",
    "Item",
    "choose_usual_metrics",
    "complete",
    "field_from_text",
    "filtered",
    "joined",
    "keys",
    "order_from_text",
    "ordered",
    "page_of",
    "quoted",
]

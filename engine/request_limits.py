"""Limits of one request, each with its unit and a sentence.

Pages, the API, MLflow's API, the filter languages, sweep definitions and specs read their limits here, so that a
request costs a bounded amount of work whichever way it comes in. A limit is an integer; `error` gives the sentence.
"""

from __future__ import annotations

from itertools import chain
from typing import Any


class Limit(int):
    """The most of something in one request. `sentence` has the places {limit} and {given}."""

    unit: str
    sentence: str

    def __new__(cls, most: int, unit: str, sentence: str) -> Limit:
        limit = super().__new__(cls, most)
        limit.unit, limit.sentence = unit, sentence
        return limit

    def __getnewargs__(self) -> tuple[int, str, str]:  # type: ignore[override]  # for copies
        return int(self), self.unit, self.sentence

    def error(self, given: int) -> str:
        """'' within the limit, else the sentence of the refusal."""
        return "" if given <= self else self.sentence.format(limit=f"{self:,}", given=f"{given:,}")


def characters(most: int, what: str) -> Limit:
    return Limit(most, "characters", f"{what} has at most {{limit}} characters; this one has {{given}}.")


# Whole requests
BODY_BYTES = Limit(
    1024 * 1024, "bytes", "A request has at most {limit} bytes, this one {given}. Split it up and try again."
)
POINTS_BODY_BYTES = Limit(  # some 700,000 points
    16 * 1024 * 1024, "bytes", "The body is larger than {limit} bytes; send fewer batches at a time."
)
QUERY_CHARS = characters(32_768, "The query of an address")
JSON_DEPTH = Limit(32, "levels", "The body is nested deeper than {limit} levels.")
INTEGER = Limit(2**63 - 1, "", "A whole number is at most {limit}.")
REQUEST_IDS = Limit(10_000, "ids", "A request names at most {limit} ids; this one names {given}.")
REQUEST_PARAMS = Limit(
    10_000,
    "parameters",
    "A request has at most {limit} parameters; this one has {given}. Send them in parts.",
)
BULK_RUNS = Limit(20_000, "runs", "More than {limit} runs at once are too many. Narrow the filter.")
REQUEST_TAGS = Limit(
    1_000, "tags", "A request has at most {limit} tags; this one has {given}. Send them in parts."
)

# Pages of lists
PAGE_ROWS = Limit(500, "rows", "A page has at most {limit} rows.")
LONG_PAGE_ROWS = Limit(1_000, "rows", "A page has at most {limit} rows.")
FILE_PAGE_ROWS = Limit(10_000, "rows", "A page has at most {limit} rows.")
SEARCH_PAGE_ROWS = Limit(50_000, "rows", "A page of a search has at most {limit} rows.")
OFFSET = Limit(10_000_000, "rows", "A page begins at row {limit} at the latest.")

# Filters and orders
FILTER_CHARS = characters(4_000, "A filter")
FILTER_DEPTH = Limit(50, "levels", "More than {limit} nested parentheses.")
FILTER_CLAUSES = Limit(100, "conditions", "A filter has at most {limit} conditions.")
FILTER_VALUES = Limit(300, "values", "A list of values has at most {limit} of them.")
SEARCH_CHARS = characters(100_000, "A search filter")  # room for SEARCH_VALUES ids
SEARCH_VALUES = Limit(1_000, "values", "A list of values has at most {limit} of them.")
PATTERN_CHARS = characters(1_000, "A LIKE pattern")
ORDER_COLUMNS = Limit(10, "columns", "An order names at most {limit} columns; this one names {given}.")

# Points and what else training code logs
DELIVERY_BATCHES = Limit(
    100,
    "batches",
    "A delivery has at most {limit} batches; this one has {given}. Send them in several deliveries.",
)
DELIVERY_SERIES = Limit(
    20_000,
    "series",
    "A delivery has at most {limit} series; this one has {given}. Send them in several deliveries.",
)
RUN_HOSTS = Limit(1_000, "hosts", "A run has at most {limit} hosts; this one would have {given}.")
RUN_SERIES = Limit(20_000, "series", "A run has at most {limit} series; this one would have {given}.")
LOGGED_METRICS = Limit(1_000, "metrics", "A batch has at most {limit} metrics.")
LOGGED_PAIRS = Limit(100, "parameters or tags", "A batch has at most {limit} of them.")
LOGGED_ENTITIES = Limit(1_000, "metrics, parameters and tags", "A batch has at most {limit} of them.")
LOGGED_DATASETS = Limit(
    1_000, "data sets", "A request logs at most {limit} data sets; this one logs {given}."
)
MEDIA_ENTRIES = Limit(1_000, "entries", "A request has at most {limit} media entries; this one has {given}.")
MEDIA_ITEMS = Limit(256, "items", "A media entry has at most {limit} items; this one has {given}.")
MEDIA_ITEM_BYTES = Limit(
    64 * 1024, "bytes", "An item of a media entry has at most {limit} bytes, this one {given}."
)
RUN_MEDIA = Limit(100_000, "entries", "A run has at most {limit} media entries; log them less often.")
CONSOLE_LINES = Limit(1_000, "lines", "A request has at most {limit} lines; this one has {given}.")
CONSOLE_LINE_CHARS = characters(4_100, "A line")
RUN_CONSOLE_LINES = Limit(1_000_000, "lines", "A run keeps at most {limit} lines of output.")
ENVIRONMENT_PACKAGES = Limit(
    10_000, "packages", "An environment has at most {limit} packages; this one has {given}."
)
VERSION_FILES = Limit(10_000, "files", "A version has at most {limit} files; this one has {given}.")
MISSING_METRICS = Limit(200, "metrics", "A source has at most {limit} missing metrics.")
MISSING_SOURCES = Limit(1_000, "sources", "A run has at most {limit} sources with missing readings.")

# Series to draw
SERIES_NAMES = Limit(200, "names", "A request names at most {limit} metrics or runs.")
SERIES_SOURCES = Limit(1_000, "sources", "A request names at most {limit} sources.")
SERIES_POINTS = Limit(10_000, "points", "A line has at most {limit} points.")
SERIES_CELLS = Limit(4_000_000, "points", "All lines of a reply have at most {limit} points.")  # 80 MB packed
HISTORY_RUNS = Limit(
    100, "runs", "The request cannot specify more than {limit} run_ids. Received {given} run_ids."
)
HISTORY_POINTS = Limit(25_000, "points", "A history has at most {limit} points a page.")

# Specs and sweeps
SPEC_BYTES = Limit(64 * 1024, "bytes", "The spec is {given} bytes; the limit is {limit}.")
SPEC_DEPTH = Limit(6, "levels", "The spec is nested deeper than {limit} levels.")
SPEC_PROBLEMS = Limit(50, "problems", "Only the first {limit} of {given} problems are listed.")
YAML_EDIT_CHARS = Limit(
    100_000,
    "characters",
    "This YAML is too long for so many changes at once ({given} characters, at most {limit}).",
)
SWEEP_RUNS = Limit(
    1_000, "runs", "This grid has {given} runs; the limit is {limit}. Draw some of them: random."
)
SWEEP_FIELDS = Limit(8, "fields", "{given} fields are too many; the limit is {limit}.")
SWEEP_VALUES = Limit(100, "values", "{given} values are too many; the limit is {limit}.")
RANGE_CHARS = characters(200, "A range")

# Names and texts
KEY_CHARS = characters(250, "A name")  # of a parameter or tag; a metric's is in point_limits
PARAM_CHARS = characters(6_000, "A parameter's value")  # as MLflow's clients know it
TAG_CHARS = characters(8_000, "A tag's value")
RUN_NAME_CHARS = characters(250, "A run's name")
NOTE_CHARS = characters(20_000, "A note")
REASON_CHARS = characters(500, "A reason")
PROJECT_NAME_CHARS = characters(500, "A project's name")
PROJECT_TAG_CHARS = characters(20_000, "A project's tag")


def values_error(values: Any) -> str:
    """The sentence for plain values nested deeper than JSON_DEPTH, or with a text that no column holds; else ''.
    Goes through them level by level, because recursion would overflow."""
    level = [values]
    for _ in range(JSON_DEPTH + 1):
        for one in level:
            if isinstance(one, str) and (broken := text_error(one)):
                return broken
        containers = [one for one in level if isinstance(one, dict | list)]
        if not containers:
            return ""
        level = [
            below
            for one in containers
            for below in (chain(one, one.values()) if isinstance(one, dict) else one)
        ]
    return JSON_DEPTH.error(JSON_DEPTH + 1)


def text_error(text: str) -> str:
    """The sentence for a NUL character or half of a surrogate pair, which no text column holds; else ''."""
    if "\0" in text:
        return "A text holds a NUL character, which cannot be kept. Leave it out."
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "A text is not valid Unicode: it holds half of a surrogate pair."
    return ""


def whole_number(text: str, most: int = INTEGER) -> int | None:
    """The number in ASCII digits; None for any other text and for more than `most`."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(int(INTEGER)))):
        return None
    number = int(text)
    return number if number <= most else None

"""Tables, histograms, HTML and texts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from fourwalls.media.base import FileMedia, Media, MediaError, StoreFile, log, to_array

TABLE_ROWS = 200_000
BINS = 512
TEXT_CHARS = 20_000


class Table(Media):
    """Rows under named columns; a cell is a number, text, truth value, None, or an Image, Audio or Video."""

    kind = "table"

    def __init__(
        self,
        columns: Optional[Sequence[Any]] = None,
        data: Any = None,
        rows: Any = None,
        dataframe: Any = None,
        **_: Any,
    ) -> None:
        data = rows if data is None else data
        if dataframe is None and hasattr(data, "columns") and hasattr(data, "values"):
            dataframe = data
        if dataframe is not None:
            columns, data = list(dataframe.columns), dataframe.values.tolist()
        elif hasattr(data, "tolist"):
            data = data.tolist()
        self.columns: list[Any] = list(columns) if columns is not None else ["Input", "Output", "Expected"]
        self.data: list[list[Any]] = [list(row) for row in data or ()]

    def add_data(self, *cells: Any) -> None:
        if len(cells) != len(self.columns):
            log.warning(
                "The table has %d columns; a row of %d cells is cut or filled.", len(self.columns), len(cells)
            )
        row = list(cells[: len(self.columns)])
        self.data.append(row + [None] * (len(self.columns) - len(row)))

    def add_row(self, *cells: Any) -> None:
        self.add_data(*cells)

    def add_column(self, name: str, data: Any, optional: bool = False) -> None:
        del optional
        values = list(data)
        if not self.data and not values:
            self.columns.append(name)
            return
        if not self.data:
            self.columns, self.data = [], [[] for _ in values]
        if len(values) != len(self.data):
            log.warning(
                "The table has %d rows; the column %s of %d is cut or filled.",
                len(self.data),
                name,
                len(values),
            )
            values = (values + [None] * len(self.data))[: len(self.data)]
        self.columns.append(name)
        for row, value in zip(self.data, values):
            row.append(value)

    def get_column(self, name: str, convert_to: Optional[str] = None) -> Any:
        index = self.columns.index(name)
        values = [row[index] for row in self.data]
        return to_array(values) if convert_to == "numpy" else values

    def iterrows(self) -> Iterable[tuple[int, list[Any]]]:
        return enumerate(self.data)

    def get_dataframe(self) -> Any:
        import pandas

        return pandas.DataFrame(self.data, columns=self.columns)

    def describe(self, store: StoreFile) -> dict[str, Any]:
        rows = [[_plain_cell(cell, store) for cell in row] for row in self.data[:TABLE_ROWS]]
        content = json.dumps({"columns": [str(name) for name in self.columns], "rows": rows}).encode()
        return {"path": store(content, "json"), "columns": len(self.columns), "rows": len(self.data)}


class Histogram(Media):
    """Of a sequence of numbers, or of ready counts and edges (`np_histogram`)."""

    kind = "histogram"

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64) -> None:
        if np_histogram is not None:
            counts, edges = np_histogram
            self.histogram, self.bins = [float(one) for one in counts], [float(one) for one in edges]
        else:
            self.histogram, self.bins = count_values(sequence, max(1, min(int(num_bins), BINS)))
        if len(self.bins) != len(self.histogram) + 1 or len(self.histogram) > BINS:
            raise MediaError(f"A histogram has at most {BINS} counts, and one edge more than counts.")

    def describe(self, store: StoreFile) -> dict[str, Any]:
        del store
        return {"counts": self.histogram, "edges": self.bins}


class Text(Media):
    kind = "text"

    def __init__(self, text: Any) -> None:
        self.text = str(text)[:TEXT_CHARS].encode("utf-8", "replace").decode().replace("\0", "")

    def describe(self, store: StoreFile) -> dict[str, Any]:
        del store
        return {"text": self.text}


class Html(FileMedia):
    """A text of HTML, an open file, or the path of a file. The page shows it in a frame without access to Fourwalls."""

    kind = "html"

    def __init__(self, data: Any, inject: bool = True, data_is_not_path: bool = False) -> None:
        del inject
        if callable(getattr(data, "read", None)):
            data = data.read()
        text = str(data)
        is_path = not data_is_not_path and len(text) < 1_000 and "<" not in text and Path(text).is_file()
        super().__init__(Path(text).read_bytes() if is_path else text.encode("utf-8", "replace"), "html")


class Plotly(FileMedia):
    """A figure of plotly, stored as its own JSON."""

    kind = "file"

    def __init__(self, figure: Any) -> None:
        super().__init__(figure.to_json().encode(), "json")


def count_values(sequence: Any, num_bins: int) -> tuple[list[float], list[float]]:
    """Counts and edges of the finite values. Raises MediaError for none."""
    if hasattr(sequence, "shape"):
        return _count_array(to_array(sequence), num_bins)
    values = [float(one) for one in sequence]
    values = [one for one in values if math.isfinite(one)]
    if not values:
        raise MediaError("A histogram needs at least one finite number.")
    low, high = _spread(min(values), max(values))
    width = (high - low) / num_bins
    counts = [0.0] * num_bins
    for value in values:
        counts[min(num_bins - 1, max(0, int((value - low) / width)))] += 1
    return counts, [low + index * width for index in range(num_bins)] + [high]


def _count_array(array: Any, num_bins: int) -> tuple[list[float], list[float]]:
    import numpy

    values = array.astype(float).ravel()
    values = values[numpy.isfinite(values)]
    if not values.size:
        raise MediaError("A histogram needs at least one finite number.")
    limits = _spread(float(values.min()), float(values.max()))
    counts, edges = numpy.histogram(values, bins=num_bins, range=limits)
    return counts.astype(float).tolist(), edges.tolist()


def _spread(low: float, high: float) -> tuple[float, float]:
    """Limits that differ by enough for their bins to differ."""
    least = max(abs(low), abs(high), 1e-300) * 1e-9
    if not math.isfinite(high - low):
        return low / 4, high / 4
    return (low, high) if high - low > least else (low - max(0.5, least), high + max(0.5, least))


def _plain_cell(cell: Any, store: StoreFile) -> Any:
    """A cell as JSON; a medium becomes its kind and item."""
    if isinstance(cell, Media):
        return {"kind": cell.kind, **cell.describe(store)}
    if cell is None or isinstance(cell, (bool, str)):
        return cell.encode("utf-8", "replace").decode() if isinstance(cell, str) else cell
    if callable(item := getattr(cell, "item", None)) and getattr(cell, "size", 1) == 1:
        cell = item()
    if isinstance(cell, int) and abs(cell) < 2**53:
        return int(cell)
    if isinstance(cell, float):
        return float(cell) if math.isfinite(cell) else str(cell)
    if isinstance(cell, (Mapping, list, tuple)):
        return str(cell)[:TEXT_CHARS]
    return str(cell)[:TEXT_CHARS].encode("utf-8", "replace").decode()

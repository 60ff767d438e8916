"""Charts of `plot.line()` and the like, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from fourwalls.media import Table

MOST_THRESHOLDS = 200


def line(table: Any, x: Any = None, y: Any = None, stroke: Any = None, title: Any = None, **_: Any) -> Any:
    """The table itself: it holds every value of the chart."""
    del x, y, stroke, title
    return table


scatter = bar = histogram = plot_table = line


def line_series(
    xs: Any, ys: Any, keys: Optional[Sequence[Any]] = None, title: Any = None, xname: Any = None, **_: Any
) -> Table:
    """A table with a row per point of each line."""
    del title
    made = Table(["x" if xname is None else xname, "y", "line"])
    try:
        is_shared = bool(len(xs)) and not hasattr(xs[0], "__len__")
        for index, line_ys in enumerate(ys):
            name = keys[index] if keys is not None and index < len(keys) else f"line {index}"
            for x, y in zip(xs if is_shared else xs[index], line_ys):
                made.add_data(x, y, name)
    except (TypeError, IndexError, KeyError) as error:
        made.problem = repr(error)
    return made


def confusion_matrix(
    probs: Any = None,
    y_true: Any = None,
    preds: Any = None,
    class_names: Any = None,
    title: Any = None,
    **_: Any,
) -> Table:
    """A table with the count of each pair of actual and predicted class."""
    del title
    made = Table(["Actual", "Predicted", "Count"])
    try:
        predicted = (
            [max(range(len(row)), key=row.__getitem__) for row in probs] if preds is None else list(preds)
        )
        counts: dict[tuple[int, int], int] = {}
        for actual, guess in zip(y_true, predicted):
            counts[int(actual), int(guess)] = counts.get((int(actual), int(guess)), 0) + 1
        size = max((max(pair) for pair in counts), default=-1) + 1
        names = list(class_names) if class_names is not None else []
        names += [str(number) for number in range(len(names), size)]
        for actual in range(size):
            for guess in range(size):
                made.add_data(names[actual], names[guess], counts.get((actual, guess), 0))
    except (TypeError, ValueError, IndexError) as error:
        made.problem = repr(error)
    return made


def roc_curve(y_true: Any = None, y_probas: Any = None, labels: Any = None, **_: Any) -> Table:
    """A table with false and true positive rate of each class at falling thresholds."""
    return _rates(y_true, y_probas, labels, ["class", "fpr", "tpr"], is_roc=True)


def pr_curve(y_true: Any = None, y_probas: Any = None, labels: Any = None, **_: Any) -> Table:
    """A table with recall and precision of each class at falling thresholds."""
    return _rates(y_true, y_probas, labels, ["class", "recall", "precision"], is_roc=False)


def _rates(y_true: Any, y_probas: Any, labels: Any, columns: list[str], *, is_roc: bool) -> Table:
    made = Table(columns)
    try:
        rows = [[float(one) for one in row] for row in y_probas]
        actual = [int(one) for one in y_true]
        for index in range(len(rows[0]) if rows else 0):
            name = labels[index] if labels is not None else str(index)
            pairs = sorted(
                ((row[index], is_class == index) for row, is_class in zip(rows, actual)), reverse=True
            )
            positives = sum(is_positive for _, is_positive in pairs)
            hits = 0
            every = max(1, len(pairs) // MOST_THRESHOLDS)
            for count, (_, is_positive) in enumerate(pairs, start=1):
                hits += is_positive
                if count % every and count != len(pairs):
                    continue
                recall = hits / positives if positives else 0.0
                false_rate = (count - hits) / max(1, len(pairs) - positives)
                made.add_data(name, *((false_rate, recall) if is_roc else (recall, hits / count)))
    except (TypeError, ValueError, IndexError) as error:
        made.problem = repr(error)
    return made

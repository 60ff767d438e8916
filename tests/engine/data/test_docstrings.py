"""Examples read from documented source code."""

from __future__ import annotations

import pytest

from engine.data.examples import Example
from engine.data.readers import docstrings

MODULE = '''
import os


class Reader:
    """Reads what a file holds, line by line.

    Whatever the lines are long, they are kept whole until the end.
    """

    @property
    def _firstLine(self):
        """Return the first line of the file."""
        # The rest is not read.
        return self.line_numbers[0]


def scale(x, factor):
    """Parameters
    ----------
    x : array
    """
    return x * factor


def silent(x):
    return x
'''


@pytest.fixture(autouse=True)
def one_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstrings.python, "read_modules", lambda: [("reader.py", MODULE)])
    monkeypatch.setattr(docstrings, "PACKAGES", ())


def test_code_is_read_without_its_docstring() -> None:
    body = "    # The rest is not read.\n    return self.line_numbers[0]"
    assert list(docstrings.read_code_summaries()) == [
        Example(f"def _firstLine(self):\n{body}", "Return the first line of the file.")
    ]


def test_a_summary_is_the_first_paragraph_of_a_docstring() -> None:
    rest = "Whatever the lines are long, they are kept whole until the end."
    assert list(docstrings.read_summaries()) == [Example(rest, "Reads what a file holds, line by line.")]

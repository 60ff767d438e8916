"""Texts in normal form, and the error of a line that has none."""

from __future__ import annotations

import unicodedata


class LineError(ValueError):
    """A line is not a valid record; the message gives the reason."""


def normalise(text: str) -> str:
    """Return the text in Unicode NFC, with \\n as newline and without surrounding white space.

    Raises LineError for NUL and for lone surrogates.
    """
    clean = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if "\0" in clean:
        raise LineError("it contains the character NUL")
    if any("\ud800" <= character <= "\udfff" for character in clean):
        raise LineError("it contains half of a surrogate pair, which is not a character")
    return clean

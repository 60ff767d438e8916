"""Token arrays on disk: written with fsync, mapped read-only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.unsignedinteger[Any]]
UINT16_TOKENS = 2**16


def token_type(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    """Return the number type of tokens: 16 bits where they hold every id, else 32."""
    return np.uint16 if vocab_size <= UINT16_TOKENS else np.uint32


def write_array(path: Path, values: npt.NDArray[Any]) -> None:
    """Write the values and fsync the file. Raises OSError."""
    with open(path, "wb") as file:
        values.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def map_array(path: Path, kind: type = np.uint16) -> npt.NDArray[Any]:
    """Map the file as a read-only array of this number type."""
    # An empty file cannot be mapped; a corpus of a few lines leaves the validation part empty.
    return np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)

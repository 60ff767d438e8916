"""Token arrays on disk: written with fsync, mapped read-only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# The spec limits a vocabulary to 65,536 tokens, so 16 bits hold any token.
Tokens = npt.NDArray[np.uint16]


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

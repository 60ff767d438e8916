"""Arrays of tokens as files: written onto the disk itself, mapped read-only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

# The specification allows at most 65,536 tokens, so 16 bits always hold one.
Tokens = npt.NDArray[np.uint16]


def write_array(path: Path, values: npt.NDArray[Any]) -> None:
    with open(path, "wb") as file:
        values.tofile(file)
        file.flush()
        os.fsync(file.fileno())


def mapped(path: Path, kind: type = np.uint16) -> npt.NDArray[Any]:
    """The file's numbers."""
    # An empty file cannot be mapped; a text of a few lines leaves the validation part empty.
    return np.memmap(path, kind, "r") if path.stat().st_size else np.zeros(0, kind)

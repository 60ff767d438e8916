"""Files of an attempt directory that are replaced as a whole."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file by rename. Raises OSError and leaves the old content (disk full)."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_small(path: Path, content: bytes) -> OSError | None:
    """Replace a file of a few bytes, on a full disk too: then its content is overwritten in the block that it has.

    Returns the error of the full disk, None without one.
    One write() is seen by readers as a whole, so spaces fill up a shorter content. Raises OSError if the file cannot be
    overwritten either.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            raise error from None
        try:
            os.pwrite(descriptor, content.ljust(os.fstat(descriptor).st_size), 0)
        finally:
            os.close(descriptor)
        return error
    return None

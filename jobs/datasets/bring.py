"""A data set's content from the database to this node's disk, once, and only whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from engine.data.prepare import DATASETS
from jobs.datasets import content
from jobs.datasets.find import dataset_named


class NotBrought(Exception):
    """The content cannot be had here; the message says why."""


def bring(corpus: str, data_dir: Path) -> Path | None:
    """The file in which ranks find the data set that a spec names; None for a corpus that is none. Raises NotBrought.

    Agents read the database anyway, so no node needs a folder that others see. A file is under its name only when all
    of it is there and its SHA-256 is right.
    """
    found = dataset_named(corpus)
    if found is None:
        return None
    folder = data_dir / DATASETS
    target = folder / f"{found.id}.jsonl"
    if target.exists():
        return target
    if found.archived_at is not None:
        raise NotBrought(f"The content of data set '{found.name}' was deleted.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, aside = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as file:
            for piece in content.read(found):
                digest.update(piece)
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != found.sha256:
            raise NotBrought(f"Data set '{found.name}' did not come whole out of the database.")
        os.replace(aside, target)
    except OSError as error:
        raise NotBrought(f"Data set '{found.name}' cannot be written here: {error.strerror}.") from None
    finally:
        Path(aside).unlink(missing_ok=True)
    return target

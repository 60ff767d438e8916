"""Copy of a data set from the database to the disk of this node."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from engine.data.prepare import DATASETS
from jobs.datasets import content
from jobs.datasets.find import get_dataset


class FetchError(Exception):
    """A data set cannot be copied to this node; the message says why."""


def fetch_dataset(corpus: str, data_dir: Path) -> Path | None:
    """Return the local file of the data set that `corpus` names, copied if needed; None for other corpora.

    Agents read the database anyway, so no folder has to be shared between nodes. The file gets its name only
    once it is complete and its SHA-256 matches. Raises FetchError.
    """
    found = get_dataset(corpus)
    if found is None:
        return None
    folder = data_dir / DATASETS
    target = folder / f"{found.id}.jsonl"
    if target.exists():
        return target
    if found.archived_at is not None:
        raise FetchError(f"The content of data set '{found.name}' was deleted.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, scratch = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as file:
            for chunk in content.read_parts(found):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != found.sha256:
            raise FetchError(f"The copy of data set '{found.name}' does not match its SHA-256.")
        os.replace(scratch, target)
    except OSError as error:
        raise FetchError(
            f"Data set '{found.name}' cannot be written on this node: {error.strerror}."
        ) from None
    finally:
        Path(scratch).unlink(missing_ok=True)
    return target

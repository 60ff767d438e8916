"""Files that a run saves, copied beside its spool and uploaded from there.

    FOLDER/<run>/<stream>/files/  000000  000000.json  000001  000001.json ...

The .json holds the name of the file. It is written once the copy is on disk, so a copy without one was cut
off by a kill and is ignored. Files have a thread of their own: a large file must not delay the points behind
it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Optional, Union
from urllib.parse import urlencode

from fourwalls.limits import PATH_CHARS
from fourwalls.server import RequestRefused, Server, ServerUnavailable
from fourwalls.shipper_thread import PAUSES_S, REFUSED_PAUSE_S
from fourwalls.spool import write_atomically
from fourwalls.throttled_log import ThrottledLog

REJECTED_STATUSES = (400, 413, 422)
REFUSED_CHARACTERS = re.compile(r"[\x00-\x1f\\\u202a-\u202e\u2066-\u2069]")

log = logging.getLogger("fourwalls")


class ArtefactSpool:
    """Files of one spool that wait for upload."""

    def __init__(self, spool: Path) -> None:
        self.folder = spool / "files"
        self._lock = threading.Lock()
        self._number: Optional[int] = None  # of the newest file

    def add(self, source: Union[Path, bytes], name: str, *, durably: bool = True) -> None:
        """Copy a file, or keep bytes as one; it survives a kill when this returns. Raises OSError."""
        with self._lock:
            self.folder.mkdir(exist_ok=True)
            copy = self.folder / f"{self._next():06d}"
            try:
                with copy.open("wb") as copied:
                    if isinstance(source, bytes):
                        copied.write(source)
                    else:
                        with source.open("rb") as original:
                            shutil.copyfileobj(original, copied, 1024 * 1024)
                    copied.flush()
                    if durably:
                        os.fsync(copied.fileno())
            except OSError:
                copy.unlink(missing_ok=True)
                raise
            write_atomically(copy.with_suffix(".json"), {"path": name}, durably=durably)

    def waiting(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.json"))

    def has_any(self) -> bool:
        """Whether any file is left, including files that the server refused, which stay for inspection."""
        return any(self.folder.glob("[0-9]*.json")) or any(self.folder.glob("[0-9]*.refused"))

    def ship(self, server: Server, run_id: str) -> None:
        """Upload all waiting files in order; a repeated call continues. Raises ServerUnavailable, RequestRefused."""
        for description in self.waiting():
            copy, name = description.with_suffix(""), json.loads(description.read_bytes())["path"]
            try:
                server.put_file(f"/runs/{run_id}/artefacts?{urlencode({'path': name})}", copy)
            except RequestRefused as refused:
                if refused.status not in REJECTED_STATUSES:
                    raise
                description.rename(description.with_suffix(".refused"))
                log.error("The server refused the file %s; it is kept in %s: %s", name, copy, refused)
            else:
                description.unlink()
                copy.unlink()

    def _next(self) -> int:
        if self._number is None:
            numbers = [int(path.name.partition(".")[0]) for path in self.folder.glob("[0-9]*")]
            self._number = max(numbers, default=-1)
        self._number += 1
        return self._number


class ArtefactUploader:
    """Copies files of a live run and uploads them once the server knows the run; with `server=None`, only copies."""

    def __init__(
        self, spool: Path, server: Server | None, run_id: str, registered: threading.Event | None
    ) -> None:
        self.files = ArtefactSpool(spool)
        self._server, self._run_id, self._registered = server, run_id, registered
        self._has_data, self._is_closing = threading.Event(), threading.Event()
        self._log = ThrottledLog()
        self._thread: threading.Thread | None = None

    def save(self, source: Path, name: str) -> None:
        """Copy a file, or all files of a folder. Raises OSError."""
        for path, file_name in _list_files(source, name):
            self.files.add(path, file_name)
        self._wake()

    def save_content(self, name: str, content: Union[Path, bytes]) -> None:
        """Keep a logged medium; a power failure may lose it, a kill does not. Raises OSError."""
        self.files.add(content, clean_path(name), durably=False)
        self._wake()

    def _wake(self) -> None:
        if self._server and self._thread is None:
            self._thread = threading.Thread(target=self._work, name="fourwalls-files", daemon=True)
            self._thread.start()
        self._has_data.set()

    def close(self, limit_s: float) -> None:
        """Wait up to `limit_s` until all files are uploaded."""
        self._is_closing.set()
        self._has_data.set()
        if self._thread:
            self._thread.join(limit_s)

    def _work(self) -> None:
        assert self._registered
        self._registered.wait()
        pause_s = PAUSES_S[0]
        while True:
            self._has_data.clear()
            is_last = self._is_closing.is_set()
            wait_s = self._try_ship()
            if wait_s is None:
                pause_s = PAUSES_S[0]
                if is_last:
                    return
                self._has_data.wait()
                continue
            if is_last and wait_s:
                return  # the server would refuse again; `fourwalls sync` may succeed later
            self._is_closing.wait(wait_s or pause_s)
            pause_s = min(2 * pause_s, PAUSES_S[1])
            if is_last:
                threading.Event().wait(PAUSES_S[0])

    def _try_ship(self) -> float | None:
        """Return None once all files are uploaded, else the seconds to wait; 0 means until the server answers."""
        assert self._server
        try:
            self.files.ship(self._server, self._run_id)
            return None
        except ServerUnavailable as error:
            self._log.warn("away", "Files wait in %s until the server answers: %s", self.files.folder, error)
            return 0.0
        except Exception as error:  # noqa: BLE001 - training continues if an upload fails
            self._log.warn("refused", "Files stay in %s: %r", self.files.folder, error)
            return REFUSED_PAUSE_S


def _list_files(source: Path, name: str) -> Iterator[tuple[Path, str]]:
    """(path, name) of a file, or of all files of a folder, named below the folder's name."""
    name = name.strip("/") or source.resolve().name
    if not source.is_dir():
        yield source, clean_path(name)
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            yield path, clean_path(f"{name}/{path.relative_to(source).as_posix()}")


def clean_path(name: str) -> str:
    """A name that the server takes; what it would refuse becomes '_', with a warning."""
    text = REFUSED_CHARACTERS.sub("_", name.encode("utf-8", "replace").decode())
    parts = ["_" if part in ("", ".", "..") else part for part in text.split("/")]
    cleaned = "/".join(parts)
    if len(cleaned) > PATH_CHARS:
        digest = hashlib.sha256(cleaned.encode()).hexdigest()[:8]
        cleaned = f"{digest}~{cleaned[len(digest) + 1 - PATH_CHARS :].lstrip('/')}"
    if cleaned != name:
        log.warning("The file %a is saved as %s.", name, cleaned)
    return cleaned

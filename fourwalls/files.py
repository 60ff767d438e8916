"""Files that a run saves: copied beside its spool, and sent from there, whatever becomes of the originals.

    FOLDER/<run>/<stream>/files/  000000  000000.json  000001  000001.json ...

The .json says what the file is called; it is written once the copy is on disk, so a copy without one was cut off by a
kill and is nothing. Files have a thread of their own: a large one must not hold up the points that come behind it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from fourwalls.saying import Sayer
from fourwalls.sending import PAUSES_S, REFUSED_PAUSE_S
from fourwalls.server import Away, Refused, Server
from fourwalls.spool import write_atomically

NEVER_TAKEN = (413, 422)

log = logging.getLogger("fourwalls")


class Files:
    """Those of one spool that wait for the server."""

    def __init__(self, spool: Path) -> None:
        self.folder = spool / "files"
        self._lock = threading.Lock()

    def add(self, source: Path, name: str) -> None:
        """Copy a file; it is safe from a kill when this returns. Raises OSError."""
        with self._lock:
            self.folder.mkdir(exist_ok=True)
            copy = self.folder / f"{self._next():06d}"
            try:
                with source.open("rb") as original, copy.open("wb") as copied:
                    shutil.copyfileobj(original, copied, 1024 * 1024)
                    copied.flush()
                    os.fsync(copied.fileno())
            except OSError:
                copy.unlink(missing_ok=True)
                raise
            write_atomically(copy.with_suffix(".json"), {"path": name}, durably=True)

    def waiting(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.json"))

    def are_left(self) -> bool:
        """Any at all: those that the server has refused stay for a person to look at."""
        return any(self.folder.glob("[0-9]*.json")) or any(self.folder.glob("[0-9]*.refused"))

    def ship(self, server: Server, run_id: str) -> None:
        """Send all that waits, in its order. Raises Away, Refused; calling again goes on from there."""
        for about in self.waiting():
            copy, name = about.with_suffix(""), json.loads(about.read_bytes())["path"]
            try:
                server.put_file(f"/runs/{run_id}/artefacts?{urlencode({'path': name})}", copy)
            except Refused as refused:
                if refused.status not in NEVER_TAKEN:
                    raise
                about.rename(about.with_suffix(".refused"))
                log.error("The server refused the file %s, which is kept in %s: %s", name, copy, refused)
            else:
                about.unlink()
                copy.unlink()

    def _next(self) -> int:
        numbers = [int(path.name[:6]) for path in self.folder.glob("[0-9]*")]
        return max(numbers, default=-1) + 1


class Keeper:
    """Takes files of a run that goes on, and has them sent once the server knows the run; `server=None`: later."""

    def __init__(
        self, spool: Path, server: Server | None, run_id: str, begun: threading.Event | None
    ) -> None:
        self.files = Files(spool)
        self._server, self._run_id, self._begun = server, run_id, begun
        self._has_news, self._is_closing = threading.Event(), threading.Event()
        self._sayer = Sayer()
        self._thread: threading.Thread | None = None

    def save(self, source: Path, name: str) -> None:
        """Copy a file, or all files of a folder, and return. Raises OSError."""
        for path, called in _names_of(source, name):
            self.files.add(path, called)
        if self._server and self._thread is None:
            self._thread = threading.Thread(target=self._work, name="fourwalls-files", daemon=True)
            self._thread.start()
        self._has_news.set()

    def close(self, limit_s: float) -> None:
        """Waits up to `limit_s` until all are sent."""
        self._is_closing.set()
        self._has_news.set()
        if self._thread:
            self._thread.join(limit_s)

    def _work(self) -> None:
        assert self._begun
        self._begun.wait()
        pause_s = PAUSES_S[0]
        while True:
            self._has_news.clear()
            is_last = self._is_closing.is_set()
            wait_s = self._try()
            if wait_s is None:
                pause_s = PAUSES_S[0]
                if is_last:
                    return
                self._has_news.wait()
                continue
            if is_last and wait_s:
                return  # the server would say the same again; `fourwalls sync` may, later
            self._is_closing.wait(wait_s or pause_s)
            pause_s = min(2 * pause_s, PAUSES_S[1])
            if is_last:
                threading.Event().wait(PAUSES_S[0])

    def _try(self) -> float | None:
        """None when all are sent; else how long to wait, 0: as long as the server is away."""
        assert self._server
        try:
            self.files.ship(self._server, self._run_id)
            return None
        except Away as error:
            self._sayer.say("away", "Files wait in %s: %s", self.files.folder, error)
            return 0.0
        except Exception as error:  # noqa: BLE001 - training goes on, whatever becomes of its files
            self._sayer.say("refused", "Files stay in %s: %r", self.files.folder, error)
            return REFUSED_PAUSE_S


def _names_of(source: Path, name: str) -> Iterator[tuple[Path, str]]:
    """The files that are meant, and what each is called: a folder's below its name."""
    name = name.strip("/") or source.resolve().name
    if not source.is_dir():
        yield source, name
        return
    for path in sorted(source.rglob("*")):
        if path.is_file():
            yield path, f"{name}/{path.relative_to(source).as_posix()}"

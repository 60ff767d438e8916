"""A run as the training script sees it. Nothing here waits for a disk or a network but init() and finish()."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fourwalls import ending, host, launch, limits, options, sync, values
from fourwalls.files import Keeper
from fourwalls.launch import Launch
from fourwalls.options import Options
from fourwalls.sending import Sender
from fourwalls.server import Server
from fourwalls.shipping import Shipper
from fourwalls.spool import Held, Spool, write_atomically
from fourwalls.writing import QUEUE_LIMIT, Writer

BEGIN_S = 2.0  # how long init() waits for the server to say at which step a resumed run goes on

log = logging.getLogger("fourwalls")


def init(
    project: str = "",
    name: str = "",
    config: Any = None,
    *,
    id: str | None = None,
    join: bool = False,
    tags: Mapping[str, Any] | list[str] | None = None,
    note: str = "",
    parent: str | None = None,
    mode: options.Mode | None = None,
    url: str | None = None,
    token: str | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Run:
    """Begin a run. `config` becomes its parameters. `id`: go on with that run, whose steps made again replace the
    old ones; with `join`, write beside its other writers. Of several ranks each calls this; rank 0 speaks for the
    run, the others as rank<N>. Raises OptionError for a setting that cannot be understood, and nothing else: what
    goes wrong later is said by the logger 'fourwalls'."""
    chosen = options.read(mode=mode, url=url, token=token, folder=folder)
    place = launch.read()
    run_id = id or os.environ.get("FOURWALLS_RUN_ID") or _shared_run_id(place, project, name)
    if run_id is None:
        log.error("Ranks on several nodes cannot find each other: set FOURWALLS_RUN_ID to one id for all. "
                  "This rank logs nothing.")  # fmt: skip
        chosen = options.read(mode="disabled")
    run = Run(run_id or launch.draw_id(), place, chosen)
    labels = tags if isinstance(tags, Mapping) else dict.fromkeys(tags or [], "")
    about: dict[str, Any] = {"id": run.id, "name": name, "project": project, "origin": "fourwalls"}
    if place.rank == 0:
        about |= {
            "params": values.params_of(config),
            "tags": {key: str(value) for key, value in labels.items()},
            "note": note,
            "parent": parent,
        }
    run._begin({"run": about, "joins": join, "is_first": place.rank == 0}, is_resumed=id is not None)
    return run


def _shared_run_id(place: Launch, project: str, name: str) -> str | None:
    """All ranks of a launch come to the same one."""
    if place.size <= 1:
        return launch.draw_id()
    return launch.id_from(f"{place.id} {project} {name}") if place.id else None


class Run:
    """One writer of one run, in one process; a forked child gets a writer of its own when it first logs."""

    def __init__(self, run_id: str, place: Launch, chosen: Options) -> None:
        self.id = run_id
        self.source = place.source
        self._place, self._options = place, chosen
        self._launch = place.id or launch.draw_id()
        self._suffix = str(place.rank)
        self._step = 0
        self._writer: Writer | None = None
        self._sender: Sender | None = None
        self._spool: Spool | None = None
        self._sampler: host.Sampler | None = None
        self._keeper: Keeper | None = None
        self._begun: dict[str, Any] = {}
        self._has_ended = False
        self._is_child = False
        self._lock = threading.Lock()
        ending.watch(self)

    @property
    def url(self) -> str:
        """Where people look at the run."""
        return f"{self._options.url.rstrip('/')}/runs/{self.id}/"

    @property
    def step(self) -> int:
        """The step that a log() without one has next."""
        return self._step

    @property
    def _stream(self) -> str:
        return f"{self._launch}.{self._suffix}"

    @property
    def _speaks(self) -> bool:
        """Whether its end is the run's."""
        return self._place.rank == 0 and not self._is_child and not self._begun.get("joins")

    def log(self, metrics: Mapping[str, Any], step: int | None = None, *, at: float | None = None) -> None:
        """Numbers of one step (None: the one after the last), nested or not. `at`: unix seconds, now if left out.
        Never waits and never raises; what cannot be logged is said once."""
        try:
            now_us = time.time_ns() // 1000
            if step is None:
                step = self._step
            elif step.__class__ is not int:
                step = int(step)
            self._step = step + 1
            row = {**metrics}
            for value in row.values():
                if value.__class__ not in values.PLAIN:
                    row = self._plain(row)
                    break
            writer = self._writer
            if writer is None and (writer := self._writer_of_child()) is None:
                return
            if at is not None:
                now_us = int(at * 1e6) if 0 <= at < limits.END_S else now_us
            if len(writer.queue) >= QUEUE_LIMIT:
                writer.num_dropped += 1
            elif row:
                writer.queue.append((step, now_us, row, self.source))
        except Exception as error:  # noqa: BLE001 - a log must not end what it is a log of
            log.warning("Not logged: %r", error)

    def tag(self, **tags: Any) -> None:
        """Put on tags; the newest value of each holds."""
        self._tell("tags", {key: str(value) for key, value in tags.items()})

    def params(self, config: Any) -> None:
        """More of what was chosen. A parameter that is there keeps its value."""
        self._tell("params", values.params_of(config))

    def note(self, text: str) -> None:
        self._tell("change", {"note": str(text)})

    def save(self, path: str | os.PathLike[str], name: str = "") -> None:
        """Keep a file, or a folder with all that is in it, with the run: under `name`, else its own. It is copied
        before this returns, so this waits for the disk, never for the network, and the original may change or go.
        Never raises; what cannot be read is said."""
        try:
            if (self._writer or self._writer_of_child()) and self._keeper:
                self.flush()  # a file without its run, which a kill would leave, is of no use
                self._keeper.save(Path(path), name)
        except Exception as error:  # noqa: BLE001 - a file that cannot be kept must not end training
            log.error("Not saved: %s: %r", path, error)

    def flush(self, limit_s: float = 10.0) -> bool:
        """Whether all that was logged is on disk now, where a kill -9 leaves it."""
        return self._writer is not None and self._writer.flush(limit_s)

    def finish(self, state: str = "succeeded") -> None:
        """The end: everything to disk, and to the server as far as it answers within FOURWALLS_FINISH_S. What is left
        is shipped by the next init() here, or by `python -m fourwalls sync`."""
        with self._lock:
            if self._has_ended:
                return
            self._has_ended = True
        if self._sampler:
            self._sampler.close()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if writer.num_dropped:
            writer.queue.append(("tags", {"fourwalls.dropped_log_calls": str(writer.num_dropped)}))
            log.error("%d log calls were dropped: the disk was too slow for them.", writer.num_dropped)
        ended = {"state": state, "ended_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        ended["stream"] = self._stream
        writer.queue.append(("end", ended) if self._speaks else ("leave", {}))
        if not writer.close():
            log.error("The disk does not answer; the end of the log may be missing.")
        elif self._sender:
            until = time.monotonic() + self._options.finish_s
            if self._keeper:
                self._keeper.close(self._options.finish_s)
            self._sender.close(max(0.0, until - time.monotonic()), self._put_away)
        elif self._spool:
            self._spool.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        is_good = kind is None or (isinstance(error, SystemExit) and not error.code)
        self.finish("succeeded" if is_good else "failed")

    def _begin(self, begun: dict[str, Any], *, is_resumed: bool) -> None:
        self._begun = begun
        if self._options.mode == "disabled" or not self._open():
            return
        if self._sender and is_resumed:
            self._sender.begun.wait(BEGIN_S)
            self._step = self._shipper_step()
        if self._place.local_rank == 0 and self._options.system_s > 0:
            self._sampler = host.Sampler(self._tell, self._writer, self._options.system_s)  # type: ignore[arg-type]
        if self._sender and self._place.rank == 0:
            sync.in_background(self._options)

    def _open(self) -> bool:
        """A spool, and the threads that fill and empty it; False where the disk refuses."""
        stream = self._stream
        try:
            self._spool = Spool(self._options.folder / self.id / stream)
            about = {"run": self.id, "stream": stream, "launch": self._launch, "speaks": self._speaks,
                     "host": socket.gethostname(), "is_locked": self._spool.is_locked}  # fmt: skip
            write_atomically(self._spool.folder / "about.json", about, durably=True)
        except (OSError, Held) as error:
            log.error("Nothing will be logged: %s cannot be written (%r).", self._options.folder, error)
            return False
        writer = Writer(self._spool, self._options.spool_s, self._options.fsync_s)
        writer.queue.append(("begin", self._begun))
        if self._options.mode == "online":
            self._shipper = Shipper(self._spool, self._server(), self.id, stream, self._launch)
            self._sender = Sender(
                self._shipper, writer.has_news, self._options.ship_s, first=self._ship_earlier
            )
        begun = self._sender.begun if self._sender else None
        self._keeper = Keeper(self._spool.folder, self._server() if begun else None, self.id, begun)
        self._writer = writer
        return True

    def _shipper_step(self) -> int:
        return max(self._step, self._shipper.next_step)

    def _server(self) -> Server:
        """A connection for one thread."""
        return Server(self._options.url, self._options.token)

    def _ship_earlier(self) -> None:
        """What an earlier process of this run has left comes first: it is an earlier attempt."""
        sync.sync(self._options.folder, self._server(), only=self.id, is_automatic=True)

    def _put_away(self) -> None:
        if not self._spool or not self._sender:
            return
        is_left = self._shipper.num_refused or (self._keeper and self._keeper.files.are_left())
        if self._sender.is_shipped and not is_left:
            self._spool.delete()
        else:
            self._spool.close()

    def _plain(self, metrics: dict[str, Any]) -> dict[str, Any]:
        numbers, refused = values.plain(metrics)
        if refused and self._writer:
            self._writer.refuse(refused)
        return numbers

    def _tell(self, what: str, told: dict[str, Any]) -> None:
        writer = self._writer or self._writer_of_child()
        if writer is not None and told:
            writer.queue.append((what, told))

    def _writer_of_child(self) -> Writer | None:
        """In a forked child the threads are gone, and the spool is the parent's."""
        if not self._is_child or self._has_ended:
            return None
        with self._lock:
            if self._writer is None and self._options.mode != "disabled":
                run = {key: self._begun["run"][key] for key in ("id", "name", "project", "origin")}
                self._begun = {"run": run, "joins": True, "is_first": False}
                self._open()
                if util := sys.modules.get("multiprocessing.util"):
                    util.Finalize(self, self.finish, exitpriority=10)  # its children end without atexit
        return self._writer

    def after_fork(self) -> None:
        if self._spool:
            self._spool.close()  # this process's copies: the spool and its lock stay the parent's
        self._is_child, self._suffix = True, launch.draw_id()
        self._writer = self._sender = self._spool = self._sampler = self._keeper = None
        self._lock = threading.Lock()

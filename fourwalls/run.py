"""Run object of a training script.

Only init() and finish() wait for a network, and only init(), save(), flush() and finish() for a disk.
"""

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

from fourwalls import description, exit_hooks, launch, limits, options, sync, values
from fourwalls.artefacts import ArtefactUploader
from fourwalls.host_sampler import HostSampler
from fourwalls.launch import Launch
from fourwalls.marked_run import MarkedRun
from fourwalls.options import Options
from fourwalls.server import Server
from fourwalls.shipper import Shipper
from fourwalls.shipper_thread import ShipperThread
from fourwalls.spool import FrameSpool, SpoolLocked, write_atomically
from fourwalls.throttled_log import ThrottledLog
from fourwalls.writer import QUEUE_LIMIT, RowWriter

START_WAIT_S = 2.0  # how long init() waits for the next step of a resumed run

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
    system_metrics: bool | None = None,
) -> Run:
    """Start a run; `config` becomes its parameters.

    With `id` (1 to 64 letters, digits, '_', '.' and '-'), continue that run if there is one: repeated steps replace
    the old ones, or with `join` this is one more writer. Every rank of a launch calls this; rank 0 logs as the run,
    the others as rank<N>. With `system_metrics` False the machine is not read. Raises only OptionError, for an invalid
    option; later failures are reported by the logger 'fourwalls'.
    """
    settings = options.read_options(
        mode=mode, url=url, token=token, folder=folder, system_metrics=system_metrics
    )
    process = launch.read_launch()
    chosen = os.environ.get("FOURWALLS_RUN_ID") if id is None else id
    run_id = description.check_id(chosen) if chosen else launch.shared_run_id(process, project, name)
    if run_id is None:
        log.error("Ranks on several nodes share no launch id: set FOURWALLS_RUN_ID to the same id on all. "
                  "This rank logs nothing.")  # fmt: skip
        settings = options.read_options(mode="disabled")
    run = Run(run_id or launch.random_id(), process, settings)
    if process.rank == 0:
        body = description.describe_run(
            run.id, name, project, config=config, tags=tags, note=note, parent=parent
        )
    else:
        body = description.describe_writer(run.id, name, project)
    run._start({"run": body, "joins": join, "is_first": process.rank == 0}, is_resumed=id is not None)
    return run


class Run(MarkedRun):
    """One writer of one run in one process; a forked child gets a writer of its own when it first logs."""

    def __init__(self, run_id: str, process: Launch, settings: Options) -> None:
        self.id = run_id
        self.source = process.source
        self._launch, self._options = process, settings
        self._launch_id = process.id or launch.random_id()
        self._suffix, self._rank = str(process.rank), process.rank
        self._step = 0
        self._writer: RowWriter | None = None
        self._thread: ShipperThread | None = None
        self._spool: FrameSpool | None = None
        self._sampler: HostSampler | None = None
        self._artefacts: ArtefactUploader | None = None
        self._start_message: dict[str, Any] = {}
        self._has_ended = False
        self._log = ThrottledLog()
        self._is_child = False
        self._lock = threading.Lock()
        exit_hooks.finish_at_exit(self)

    @property
    def url(self) -> str:
        """URL of the run's page."""
        return f"{self._options.url.rstrip('/')}/runs/{self.id}/"

    @property
    def _stream(self) -> str:
        return f"{self._launch_id}.{self._suffix}"

    @property
    def _owns_run_state(self) -> bool:
        """Whether the end of this writer ends the run."""
        return self._launch.rank == 0 and not self._is_child and not self._start_message.get("joins")

    def log(self, metrics: Mapping[str, Any], step: int | None = None, *, at: float | None = None) -> None:
        """Log numbers of one step, nested or not; without `step`, of the step after the last. `at` is in unix
        seconds, by default now. Never waits or raises; what cannot be logged is reported once."""
        try:
            now_us = time.time_ns() // 1000
            if step is None:
                step = self._step
            elif step.__class__ is not int:
                step = int(step)
            self._step = step + 1
            writer = self._writer
            if writer is None and (writer := self._child_writer()) is None:
                self._warn_ended("log()")
                return
            row = {**metrics}
            for value in row.values():
                if value.__class__ not in values.PLAIN_TYPES:
                    row = writer.to_numbers(row)
                    break
            if at is not None:
                now_us = int(at * 1e6) if 0 <= at < limits.END_S else now_us
            if len(writer.queue) >= QUEUE_LIMIT:
                writer.num_dropped += 1
            elif row:
                writer.put((step, now_us, row, self.source))
        except Exception as error:  # noqa: BLE001 - logging must not end training
            self._log.warn("log", "Not logged: %r", error)

    def tag(self, **tags: Any) -> None:
        """Set tags; the newest value of each is kept."""
        self._queue_message("tags", description.texts(tags))

    def params(self, config: Any) -> None:
        """Add parameters; existing ones keep their values."""
        self._queue_message("params", description.params(config))

    def note(self, text: str) -> None:
        self._queue_message("change", {"note": values.clean_text(text, limits.NOTE_CHARS)})

    def save(self, path: str | os.PathLike[str], name: str = "") -> None:
        """Save a file, or a folder with all its files, with the run, under `name` or its own name. The copy is
        complete when this returns, so the original may change. Waits for the disk, never for the network. Never
        raises; a file that cannot be read is reported."""
        try:
            if not (self._writer or self._child_writer()):
                self._warn_ended("save()")
            elif self._artefacts:
                self.flush()  # a kill must not leave a file without its run
                self._artefacts.save(Path(path), name)
        except Exception as error:  # noqa: BLE001 - a file that cannot be saved must not end training
            log.error("Not saved: %s: %r", path, error)

    def flush(self, limit_s: float = 10.0) -> bool:
        """Whether everything logged so far is on disk, where it survives kill -9."""
        return self._writer is not None and self._writer.flush(limit_s)

    def finish(self, state: str = "succeeded") -> None:
        """End the run: write everything to disk and wait up to FOURWALLS_FINISH_S for the server. The rest is
        shipped by the next init() in the same folder, or by `python -m fourwalls sync`."""
        with self._lock:
            if self._has_ended:
                return
            self._has_ended = True
        if self._sampler:
            self._sampler.close()
        if self._clock:
            self._clock.close()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if writer.num_dropped:
            writer.put(("tags", {"fourwalls.dropped_log_calls": str(writer.num_dropped)}))
            log.error("%d log calls were dropped because the disk was too slow.", writer.num_dropped)
        ended = {"state": state, "ended_at": description.format_time(time.time())}
        ended["stream"] = self._stream
        writer.put(("end", ended) if self._owns_run_state else ("leave", {}))
        if not writer.close():
            log.error("The disk does not respond; the end of the log may be missing.")
        elif self._thread:
            until = time.monotonic() + self._options.finish_s
            if self._artefacts:
                self._artefacts.close(self._options.finish_s)
            self._thread.close(max(0.0, until - time.monotonic()), self._close_spool)
        elif self._spool:
            self._spool.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        is_good = kind is None or (isinstance(error, SystemExit) and not error.code)
        self.finish("succeeded" if is_good else "failed")

    def _start(self, message: dict[str, Any], *, is_resumed: bool) -> None:
        self._start_message = message
        if self._options.mode == "disabled" or not self._open():
            return
        if self._thread and is_resumed:
            self._thread.registered.wait(START_WAIT_S)
            self._step = max(self._step, self._shipper.next_step)
        self._start_clock()
        if self._writer and self._options.system_s > 0:
            self._sampler = HostSampler(
                self._queue_message, self._writer, self._options.system_s, self._launch
            )
        if self._thread and self._launch.rank == 0:
            sync.sync_in_background(self._options)

    def _open(self) -> bool:
        """Open a spool and start its threads; return False if the disk fails."""
        stream = self._stream
        try:
            self._spool = FrameSpool(self._options.folder / self.id / stream)
            description = {"run": self.id, "stream": stream, "launch": self._launch_id, "speaks": self._owns_run_state,
                           "host": socket.gethostname(), "is_locked": self._spool.is_locked}  # fmt: skip
            write_atomically(self._spool.folder / "about.json", description, durably=True)
        except (OSError, SpoolLocked) as error:
            log.error("Nothing will be logged: %s cannot be written (%r).", self._options.folder, error)
            return False
        writer = RowWriter(self._spool, self._options.spool_s, self._options.fsync_s)
        writer.put(("begin", self._start_message))
        if self._options.mode == "online":
            self._shipper = Shipper(self._spool, self._server(), self.id, stream, self._launch_id)
            self._thread = ShipperThread(
                self._shipper, writer.has_data, self._options.ship_s, self._ship_earlier
            )
        registered = self._thread.registered if self._thread else None
        server = self._server() if registered else None
        self._artefacts = ArtefactUploader(self._spool.folder, server, self.id, registered)
        self._writer = writer
        return True

    def _server(self) -> Server:
        """A connection for one thread."""
        return Server(self._options.url, self._options.token)

    def _ship_earlier(self) -> None:
        """Ship what an earlier process of this run has left: it is an earlier attempt."""
        sync.sync(self._options.folder, self._server(), only=self.id, is_automatic=True)

    def _close_spool(self) -> None:
        if not self._spool or not self._thread:
            return
        is_left = self._shipper.num_refused or (self._artefacts and self._artefacts.files.has_any())
        if self._thread.is_shipped and not is_left:
            self._spool.delete()
        else:
            self._spool.close()

    def _queue_message(self, kind: str, values: dict[str, Any]) -> None:
        writer = self._writer or self._child_writer()
        if writer is None:
            self._warn_ended(f"{kind} of a call")
        elif values:
            writer.put((kind, values))

    def _warn_ended(self, what: str) -> None:
        if self._has_ended and self._options.mode != "disabled":
            text = "Run %s has ended; %s is not logged. init(id=%r) continues it."
            self._log.warn("ended", text, self.id, what, self.id)

    def _child_writer(self) -> RowWriter | None:
        """The writer of a forked child, which has neither the parent's threads nor its spool."""
        if not self._is_child or self._has_ended:
            return None
        with self._lock:
            if self._writer is None and self._options.mode != "disabled":
                run = {key: self._start_message["run"][key] for key in ("id", "name", "project", "origin")}
                self._start_message = {"run": run, "joins": True, "is_first": False}
                self._open()
                if util := sys.modules.get("multiprocessing.util"):
                    util.Finalize(self, self.finish, exitpriority=10)  # its children exit without atexit
        return self._writer

    def after_fork(self) -> None:
        if self._spool:
            self._spool.close()  # only this process's descriptors; the parent keeps the spool and its lock
        self._is_child, self._suffix = True, launch.random_id()
        self._writer = self._thread = self._spool = self._sampler = self._artefacts = self._clock = None
        self._lock = threading.Lock()

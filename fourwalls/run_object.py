"""Run object of a training script.

Only init() and finish() wait for a network, and only init(), save(), flush() and finish() for a disk.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Any, Optional

from fourwalls import current, description, environment, exit_hooks, launch, sync
from fourwalls.artefacts import ArtefactUploader
from fourwalls.console import ConsoleCapture
from fourwalls.host_sampler import HostSampler
from fourwalls.launch import Launch
from fourwalls.logging_run import LoggingRun
from fourwalls.options import Options
from fourwalls.server import Server
from fourwalls.shipper import Shipper
from fourwalls.shipper_thread import ShipperThread
from fourwalls.spool import FrameSpool, SpoolLocked, write_atomically
from fourwalls.terminal_messages import print_line
from fourwalls.throttled_log import ThrottledLog
from fourwalls.writer import RowWriter

ENVIRONMENT_WAIT_S = 5.0
START_WAIT_S = 2.0  # how long init() waits for the next step of a resumed run

log = logging.getLogger("fourwalls")


class Run(LoggingRun):
    """One writer of one run in one process; a forked child gets a writer of its own when it first logs."""

    def __init__(self, run_id: str, process: Launch, settings: Options) -> None:
        self.id = run_id
        self.source = process.source
        self._launch, self._options = process, settings
        self._launch_id = process.id or launch.random_id()
        self._suffix, self._rank = str(process.rank), process.rank
        self._step = 0
        self._writer: Optional[RowWriter] = None
        self._thread: ShipperThread | None = None
        self._spool: FrameSpool | None = None
        self._sampler: HostSampler | None = None
        self._artefacts: ArtefactUploader | None = None
        self._start_message: dict[str, Any] = {}
        self._has_ended = False
        self._log = ThrottledLog()
        self._is_child = False
        self._lock = threading.Lock()
        self._last_texts = {}
        self._console: Optional[ConsoleCapture] = None
        self._environment: Optional[threading.Thread] = None
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

    def flush(self, limit_s: float = 10.0) -> bool:
        """Whether everything logged so far is on disk, where it survives kill -9."""
        return self._writer is not None and self._writer.flush(limit_s)

    def finish(self, state: Any = "succeeded", quiet: Any = None) -> None:
        """End the run: write everything to disk and wait up to FOURWALLS_FINISH_S for the server. The rest is shipped
        by the next init() in the same folder, or by `python -m fourwalls sync`. `state`: a state, or an exit code."""
        del quiet
        with self._lock:
            if self._has_ended:
                return
            self._has_ended = True
        current.remove(self)
        if not isinstance(state, str):
            state = "failed" if state else "succeeded"
        self._close_records()
        writer, self._writer = self._writer, None
        if writer is None:
            return
        if writer.num_dropped:
            writer.queue.append(("tags", {"fourwalls.dropped_log_calls": str(writer.num_dropped)}))
            log.error("%d log calls were dropped because the disk was too slow.", writer.num_dropped)
        ended = {"state": state, "ended_at": description.format_time(time.time())}
        ended["stream"] = self._stream
        writer.queue.append(("end", ended) if self._owns_run_state else ("leave", {}))
        if not writer.close():
            log.error("The disk does not respond; the end of the log may be missing.")
        elif self._thread:
            until = time.monotonic() + self._options.finish_s
            if self._artefacts:
                self._artefacts.close(self._options.finish_s)
            self._thread.close(max(0.0, until - time.monotonic()), self._close_spool)
        elif self._spool:
            self._spool.close()
        if self._owns_run_state:
            self._print_end(state)

    def _close_records(self) -> None:
        self._save_at_end()
        for part in (self._sampler, self._clock, self._console):
            if part:
                part.close()
        if self._environment:
            self._environment.join(ENVIRONMENT_WAIT_S)

    def _print_end(self, state: str) -> None:
        if self._thread is None:
            print_line(f"Run {self.name} is in {self._options.folder}; `python -m fourwalls sync` ships it.")
        elif self._thread.is_shipped:
            print_line(f"Run {self.name} has {state}: {self.url}")
        else:
            where = f"{self._options.folder} holds the rest; `python -m fourwalls sync` ships it"
            print_line(
                f"Run {self.name} has {state}: {self.url} ({where}; {self._thread.failure or 'still sending'})"
            )

    def remember_id(self) -> None:
        """Keep the id for init(resume="auto") in the same folder; a run that ends well is forgotten."""
        if self._options.mode != "disabled":
            self._options.folder.mkdir(parents=True, exist_ok=True)
            write_atomically(self._options.folder / "resume.json", {"id": self.id}, durably=False)

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
        self._start_records()
        if self._writer and self._options.system_s > 0:
            self._sampler = HostSampler(
                self._queue_message, self._writer, self._options.system_s, self._launch
            )
        if self._thread and self._launch.rank == 0:
            sync.sync_in_background(self._options)

    def _start_records(self) -> None:
        """Record the environment and the output; print the run's address."""
        if self._launch.rank == 0 and not self._start_message.get("joins"):
            if self._options.environment:
                self._environment = environment.record_in_background(self._queue_message, self._save_content)
            print_line(f"Run {self.name}: {self.url}" if self._thread else f"Run {self.name} is offline.")
        if self._options.console:
            self._console = ConsoleCapture(self._queue_message, self.source)

    def _save_content(self, name: str, content: bytes) -> None:
        if self._artefacts:
            self._artefacts.save_content(name, content)

    def _is_open(self) -> bool:
        return (self._writer or self._child_writer()) is not None

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
        writer.queue.append(("begin", self._start_message))
        if self._options.mode == "online":
            self._shipper = Shipper(self._spool, self._server(), self.id, stream, self._launch_id)
            self._thread = ShipperThread(
                self._shipper, writer.has_data, self._options.ship_s, self._ship_earlier
            )
        registered = self._thread.registered if self._thread else None
        server = self._server() if registered else None
        self._artefacts = ArtefactUploader(self._spool.folder, server, self.id, registered)
        writer.store_file = self._artefacts.save_content
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
            writer.queue.append((kind, values))

    def _warn_ended(self, what: str) -> None:
        if self._has_ended and self._options.mode != "disabled":
            text = "Run %s has ended; %s is not logged. init(id=%r) continues it."
            self._log.warn("ended", text, self.id, what, self.id)

    def _child_writer(self) -> Optional[RowWriter]:
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
        self._console = self._environment = None
        self._lock = threading.Lock()

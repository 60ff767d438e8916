"""From the spool to the server: a thread that ships what is on disk, and waits when the server is away."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fourwalls.saying import Sayer
from fourwalls.server import Away, Refused
from fourwalls.shipping import Shipper

PAUSES_S = (0.5, 30.0)  # between two tries while the server is away
REFUSED_PAUSE_S = 60.0  # a token may be mended while the run goes on


class Sender:
    """`has_news` is set by the writer; `every_s` gathers what is logged meanwhile into one batch;
    `first` is done before anything is shipped."""

    def __init__(
        self, shipper: Shipper, has_news: threading.Event, every_s: float, first: Callable[[], object]
    ) -> None:
        self.begun = threading.Event()  # the server knows the run, or has refused it
        self.failure = ""  # why nothing is shipped now
        self.is_shipped = False  # the server has everything, the end included
        self._shipper, self._has_news, self._every_s = shipper, has_news, every_s
        self._is_closing = threading.Event()
        self._first: Callable[[], object] | None = first
        self._after: Callable[[], None] | None = None
        self._handover = threading.Lock()
        self._sayer = Sayer()
        self._thread = threading.Thread(target=self._work, name="fourwalls-ship", daemon=True)
        self._thread.start()

    def close(self, finish_s: float, after: Callable[[], None]) -> None:
        """Waits up to `finish_s`; `after` is called once all is shipped, be it here or later by the thread."""
        self._is_closing.set()
        self._has_news.set()
        self._thread.join(finish_s)
        with self._handover:
            if self._thread.is_alive() and not self.is_shipped:
                self._after = after
                return
        after()

    def _work(self) -> None:
        pause_s = PAUSES_S[0]
        while True:
            is_last = self._is_closing.is_set()
            self._has_news.clear()
            wait_s = self._try()
            if wait_s is None:
                pause_s = PAUSES_S[0]
                if is_last:
                    return self._end()
                self._is_closing.wait(self._every_s)
                self._has_news.wait()
                continue
            if is_last and wait_s:
                return None  # the server would say the same again; `fourwalls sync` may, later
            self._is_closing.wait(wait_s or pause_s)
            pause_s = min(2 * pause_s, PAUSES_S[1])
            if is_last:
                threading.Event().wait(PAUSES_S[0])

    def _try(self) -> float | None:
        """None when all is shipped; else how long to wait, 0: as long as the server is away."""
        try:
            if self._first:
                self._first()
                self._first = None
            while self._shipper.ship():
                if self._shipper.is_open:
                    self.begun.set()
            self.failure = ""
            return None
        except Away as error:
            self._fail("away", str(error))
            return 0.0
        except Refused as error:
            self._fail("refused", f"{error} ({error.status})")
            self.begun.set()
            return REFUSED_PAUSE_S
        except Exception as error:  # noqa: BLE001 - training goes on, whatever becomes of its log
            self._fail("broken", repr(error))
            return REFUSED_PAUSE_S

    def _end(self) -> None:
        with self._handover:
            self.is_shipped = True
            after = self._after
        if after:
            after()

    def _fail(self, kind: str, why: str) -> None:
        self.failure = why
        self._sayer.say(
            kind, "Points stay in %s until the server takes them: %s", self._shipper.spool.folder, why
        )

"""Thread that ships a spool and waits while the server is unavailable."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fourwalls.server import RequestRefused, ServerUnavailable
from fourwalls.shipper import Shipper
from fourwalls.throttled_log import ThrottledLog

PAUSES_S = (0.5, 30.0)  # between two tries while the server is away
# Of one core, by collecting more rows into one batch: the smaller share as long as a batch waits less than SOON_S, so
# that a point is on the server within a second; beyond, the greater one.
SMALL_SHARE, SOON_S = 0.001, 0.7
COST_SHARE, SLOWEST_S = 0.002, 5.0
REFUSED_PAUSE_S = 60.0  # a token may become valid while the run continues


class ShipperThread:
    """Ships a spool in the background.

    The writer sets `has_data`; `every_s` is the time over which rows are collected into one batch; `first` is called
    before anything is shipped.
    """

    def __init__(
        self, shipper: Shipper, has_news: threading.Event, every_s: float, first: Callable[[], object]
    ) -> None:
        self.registered = threading.Event()  # the server knows the run, or has refused it
        self.failure = ""  # why nothing is shipped at present
        self.is_shipped = False  # the server has everything, including the end
        self._shipper, self._has_data, self._every_s = shipper, has_news, every_s
        self._is_closing = threading.Event()
        self._first: Callable[[], object] | None = first
        self._after: Callable[[], None] | None = None
        self._handover = threading.Lock()
        self._log = ThrottledLog()
        self._thread = threading.Thread(target=self._work, name="fourwalls-ship", daemon=True)
        self._thread.start()

    def close(self, finish_s: float, after: Callable[[], None]) -> None:
        """Wait up to `finish_s`; `after` is called once everything is shipped, here or later by the thread."""
        self._is_closing.set()
        self._has_data.set()
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
            self._has_data.clear()
            began_s = time.thread_time()
            wait_s = self._try_ship()
            cost_s = time.thread_time() - began_s
            if wait_s is None:
                pause_s = PAUSES_S[0]
                if is_last:
                    return self._finish()
                self._is_closing.wait(self._get_pause_s(cost_s))
                self._has_data.wait()
                continue
            if is_last and wait_s:
                return None  # the server would refuse again; `fourwalls sync` may succeed later
            self._is_closing.wait(wait_s or pause_s)
            pause_s = min(2 * pause_s, PAUSES_S[1])
            if is_last:
                threading.Event().wait(PAUSES_S[0])

    def _get_pause_s(self, cost_s: float) -> float:
        return max(self._every_s, min(cost_s / SMALL_SHARE, SOON_S), min(cost_s / COST_SHARE, SLOWEST_S))

    def _try_ship(self) -> float | None:
        """Return None once everything is shipped, else the seconds to wait; 0 means until the server answers."""
        try:
            if self._first:
                self._first()
                self._first = None
            while self._shipper.ship():
                if self._shipper.is_open:
                    self.registered.set()
            self.failure = ""
            return None
        except ServerUnavailable as error:
            self._fail("away", str(error))
            return 0.0
        except RequestRefused as error:
            self._fail("refused", f"{error} ({error.status})")
            self.registered.set()
            return REFUSED_PAUSE_S
        except Exception as error:  # noqa: BLE001 - training continues if shipping fails
            self._fail("broken", repr(error))
            return REFUSED_PAUSE_S

    def _finish(self) -> None:
        with self._handover:
            self.is_shipped = True
            after = self._after
        if after:
            after()

    def _fail(self, kind: str, why: str) -> None:
        self.failure = why
        self._log.warn(
            kind, "Points stay in %s until the server accepts them: %s", self._shipper.spool.folder, why
        )

"""From a spool to the server: everything once, in its order, whenever this process or the server is killed.

What batch `seq` holds is written down, durably, before it is sent: a batch sent again is the same to the byte, and the
server, which knows a batch by its number, takes it once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fourwalls import frames
from fourwalls.server import Refused, Server
from fourwalls.spool import Place, Spool

BATCH_BYTES = 1024 * 1024  # of rows in one batch; as columns some 2 MiB
PARAM_TAKEN = 409
NOT_TAKEN = (413, 422)

log = logging.getLogger("fourwalls")


class Shipper:
    """Ships one spool. Used by one thread; raises Away and Refused, after which calling again goes on from there."""

    def __init__(
        self, spool: Spool, server: Server, run_id: str, stream: str, launch: str, *, speaks: bool = False
    ) -> None:
        self.spool, self.stream = spool, stream
        self.speaks = speaks  # its end is the run's
        self._server = server
        self._run, self._launch = f"/runs/{run_id}", launch
        kept = spool.position()
        self.place = Place(*kept.get("place", (0, 0)))
        self._seq: int = kept.get("seq", 0)
        self._until = Place(*kept["until"]) if kept.get("until") else None
        self.is_open: bool = kept.get("is_open", False)
        self.next_step: int = kept.get("next_step", 0)
        self.has_ended: bool = kept.get("has_ended", False)
        self.last_at_us: int = kept.get("last_at_us", 0)  # of what the server has
        self.num_refused: int = kept.get("num_refused", 0)

    def ship(self) -> bool:
        """Send the next batch, or tell the next thing; False when the server has all there is."""
        rows: list[frames.Row] = []
        place = self.place
        for behind, content in self.spool.read(self.place, BATCH_BYTES):
            found = frames.rows_of(content)
            if found is None:
                if rows:
                    break
                self._tell(*frames.told_of(content))
                self._pass(behind)
                return True
            rows += found
            place = behind
            if place == self._until:
                break
        if not rows:
            return False
        self._send(rows, place)
        return True

    def _send(self, rows: list[frames.Row], until: Place) -> None:
        if until != self._until:
            self._until = until
            self.spool.sync()
            self._keep(durably=True)
        batch = frames.batch_of(self._seq, rows)
        try:
            self._server.post(
                f"{self._run}/points", {"stream": self.stream, "batches": [batch]}, is_msgpack=True
            )
        except Refused as refused:
            if refused.status not in NOT_TAKEN:
                raise
            self._set_aside(rows, refused)
        self._seq += 1
        self.last_at_us = max(self.last_at_us, *(row[1] for row in rows))
        self._pass(until)

    def _set_aside(self, rows: list[frames.Row], refused: Refused) -> None:
        """What the server will never take must not stop what comes behind it; it is kept, and said."""
        path = self.spool.folder / f"refused-{self._seq:06d}"
        path.write_bytes(frames.of_rows(rows))
        self.num_refused += len(rows)
        log.error("The server refused %d rows, which are kept in %s: %s", len(rows), path, refused)

    def _pass(self, place: Place) -> None:
        segment, self.place, self._until = self.place.segment, place, None
        self._keep(durably=False)
        if place.segment > segment:
            self.spool.forget_before(place)

    def _keep(self, *, durably: bool) -> None:
        position = {
            "place": self.place, "seq": self._seq, "until": self._until, "is_open": self.is_open,
            "next_step": self.next_step, "has_ended": self.has_ended, "last_at_us": self.last_at_us,
            "num_refused": self.num_refused,
        }  # fmt: skip
        self.spool.keep_position(position, durably=durably)

    def _tell(self, what: str, values: dict[str, Any]) -> None:
        TELL[what](self, values)

    def _begin(self, values: dict[str, Any]) -> None:
        """The run, new or known, and this writer's place in it."""
        made = self._server.post("/runs", values["run"])
        for what in ("params", "tags"):
            if values["run"].get(what):  # a run that was there already has not taken them
                self._describe(what, values["run"][what])
        if made.get("state") not in ("running", "queued") and values.get("is_first"):
            self._server.post(f"{self._run}/start", {})
        asked = {"stream": self.stream, "launch": self._launch, "joins": values.get("joins", False)}
        self.next_step = self._server.post(f"{self._run}/writers", asked)["next_step"]
        self.is_open = True

    def _describe(self, what: str, values: dict[str, Any]) -> None:
        try:
            self._server.post(f"{self._run}/{what}", {what: values})
        except Refused as refused:
            if refused.status not in (PARAM_TAKEN, *NOT_TAKEN):
                raise
            log.warning("The server refused %s: %s", what, refused)
            if len(values) > 1:  # one by one, so that a single bad one keeps no other out
                for key, value in values.items():
                    self._describe(what, {key: value})

    def _lack(self, values: dict[str, Any]) -> None:
        self._willing(f"{self._run}/missing", values)

    def _change(self, values: dict[str, Any]) -> None:
        self._willing(self._run, values, method="PATCH")

    def _end(self, values: dict[str, Any]) -> None:
        self._server.post(f"{self._run}/finish", values)
        self.has_ended = True

    def _leave(self, values: dict[str, Any]) -> None:
        """One of several writers is done; the run goes on."""
        del values
        self.has_ended = True

    def _willing(self, path: str, values: dict[str, Any], method: str = "POST") -> None:
        try:
            self._server.post(path, values, method=method)
        except Refused as refused:
            if refused.status not in NOT_TAKEN:
                raise
            log.warning("The server refused %s: %s", path, refused)


TELL: dict[str, Callable[[Shipper, dict[str, Any]], None]] = {
    "begin": Shipper._begin,
    "params": lambda shipper, values: shipper._describe("params", values),
    "tags": lambda shipper, values: shipper._describe("tags", values),
    "missing": Shipper._lack,
    "change": Shipper._change,
    "end": Shipper._end,
    "leave": Shipper._leave,
}

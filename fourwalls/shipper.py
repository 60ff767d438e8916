"""Delivery of a spool to the server, once and in order, despite kills.

The end of batch `seq` is stored durably before the batch is sent. A repeated batch is therefore identical to
the byte, and the server, which identifies batches by number, stores it once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from fourwalls import frames, limits
from fourwalls.server import RequestRefused, Server
from fourwalls.spool import FrameSpool, SpoolPosition

BATCH_BYTES = 1024 * 1024  # rows of one batch; as columns about 2 MiB
CONFLICT = 409
NOT_ALLOWED = 405
NEW_PATHS = (
    "/clock",
    "/hosts",
    "/media",
    "/console",
    "/environment",
    "/alerts",
    "/versions",
)  # which older servers do not have
NOT_FOUND = 404  # of a parent that the caller does not see
REJECTED_STATUSES = (400, 413, 415, 422)
PART_ITEMS = min(limits.REQUEST_PARAMS, limits.REQUEST_TAGS)

log = logging.getLogger("fourwalls")


class Shipper:
    """Ships one spool from one thread.

    Raises ServerUnavailable and RequestRefused; a repeated call continues where the last one stopped.
    """

    def __init__(
        self,
        spool: FrameSpool,
        server: Server,
        run_id: str,
        stream: str,
        launch: str,
        *,
        owns_run_state: bool = False,
    ) -> None:
        self.spool, self.stream = spool, stream
        self.owns_run_state = owns_run_state  # the end of this stream ends the run
        self._server = server
        self._run, self._launch = f"/runs/{run_id}", launch
        saved = spool.read_position()
        self.position = SpoolPosition(*saved.get("place", (0, 0)))
        self._seq: int = saved.get("seq", 0)
        self._pending_end = SpoolPosition(*saved["until"]) if saved.get("until") else None
        self.is_open: bool = saved.get("is_open", False)
        self.next_step: int = saved.get("next_step", 0)
        self.has_ended: bool = saved.get("has_ended", False)
        self.last_at_us: int = saved.get("last_at_us", 0)  # newest time at the server
        self.num_refused: int = saved.get("num_refused", 0)

    def ship(self) -> bool:
        """Send the next batch or message; return False once the server has everything."""
        rows: list[frames.LogRow] = []
        position = self.position
        for next_position, content in self.spool.read(self.position, BATCH_BYTES):
            frame_rows = frames.decode_rows(content)
            if frame_rows is None:
                if rows:
                    break
                self._send_message(*frames.decode_message(content))
                self._advance(next_position)
                return True
            rows += frame_rows
            position = next_position
            if position == self._pending_end:
                break
        if not rows:
            return False
        self._send(rows, position)
        return True

    def _send(self, rows: list[frames.LogRow], end: SpoolPosition) -> None:
        if end != self._pending_end:
            self._pending_end = end
            self.spool.sync()
            self._save_position(durably=True)
        batch = frames.build_batch(self._seq, rows)
        try:
            self._server.post(
                f"{self._run}/points", {"stream": self.stream, "batches": [batch]}, is_msgpack=True
            )
        except RequestRefused as refused:
            if refused.status not in REJECTED_STATUSES:
                raise
            self._store_refused(rows, refused)
        self._seq += 1
        self.last_at_us = max(self.last_at_us, *(row[1] for row in rows))
        self._advance(end)

    def _store_refused(self, rows: list[frames.LogRow], refused: RequestRefused) -> None:
        """Keep rows that the server will never accept, so that they do not block what follows."""
        path = self.spool.folder / f"refused-{self._seq:06d}"
        path.write_bytes(frames.encode_rows(rows))
        self.num_refused += len(rows)
        log.error("The server refused %d rows; they are kept in %s: %s", len(rows), path, refused)

    def _advance(self, position: SpoolPosition) -> None:
        segment, self.position, self._pending_end = self.position.segment, position, None
        self._save_position(durably=False)
        if position.segment > segment:
            self.spool.delete_segments_before(position)

    def _save_position(self, *, durably: bool) -> None:
        saved = {
            "place": self.position, "seq": self._seq, "until": self._pending_end, "is_open": self.is_open,
            "next_step": self.next_step, "has_ended": self.has_ended, "last_at_us": self.last_at_us,
            "num_refused": self.num_refused,
        }  # fmt: skip
        self.spool.write_position(saved, durably=durably)

    def _send_message(self, kind: str, values: dict[str, Any]) -> None:
        HANDLERS[kind](self, values)

    def _start(self, values: dict[str, Any]) -> None:
        """Create or find the run, and register this writer."""
        run = self._create(values["run"])
        for what in ("params", "tags"):
            if values["run"].get(what):  # an existing run has not stored them
                self._describe(what, values["run"][what])
        if run.get("state") not in ("running", "queued") and values.get("is_first"):
            self._server.post(f"{self._run}/start", {})
        request = {"stream": self.stream, "launch": self._launch, "joins": values.get("joins", False)}
        self.next_step = self._server.post(f"{self._run}/writers", request)["next_step"]
        self.is_open = True

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create the run. If the server refuses its description, create it by its id alone and describe it item by
        item: one bad item must not keep the run away."""
        least = {"id": body["id"], "origin": body["origin"]}
        own_team = {key: value for key, value in body.items() if key != "team"}
        attempts = [body, *([own_team] if "team" in body else [])]
        for attempt in (*attempts, {**least, "project": body.get("project", "")}):
            try:
                run = self._server.post("/runs", attempt)
                break
            except RequestRefused as refused:
                if refused.status not in (NOT_FOUND, *REJECTED_STATUSES):
                    raise
                if attempt is body and "team" in body:
                    log.warning("%r is no team of yours; the run goes to your own.", body["team"])
                else:
                    log.warning("The server refused the description of run %s: %s", body["id"], refused)
        else:
            attempt, run = least, self._server.post("/runs", least)
        if attempt not in (body, own_team):
            for field in ("name", "note"):
                if body.get(field):
                    self._post_optional(self._run, {field: body[field]}, method="PATCH")
        return run

    def _describe(self, what: str, values: dict[str, Any]) -> None:
        if len(values) > PART_ITEMS:
            items = list(values.items())
            for start in range(0, len(items), PART_ITEMS):
                self._describe(what, dict(items[start : start + PART_ITEMS]))
            return
        try:
            self._server.post(f"{self._run}/{what}", {what: values})
        except RequestRefused as refused:
            if refused.status not in (CONFLICT, *REJECTED_STATUSES):
                raise
            log.warning("The server refused %s: %s", what, refused)
            if len(values) > 1:  # one by one, so that a bad value does not block the others
                for key, value in values.items():
                    self._describe(what, {key: value})

    def _send_missing(self, values: dict[str, Any]) -> None:
        self._post_optional(f"{self._run}/missing", values)

    def _send_clock(self, values: dict[str, Any]) -> None:
        self._post_optional(f"{self._run}/clock", values)

    def _send_host(self, values: dict[str, Any]) -> None:
        self._post_optional(f"{self._run}/hosts", values)

    def _post_to(self, name: str, values: dict[str, Any]) -> None:
        self._post_optional(f"{self._run}/{name}", values)

    def _send_media(self, values: dict[str, Any]) -> None:
        """Send entries; if they are refused, one by one: a bad one must not keep the others away."""
        entries = values["entries"]
        try:
            self._server.post(f"{self._run}/media", values)
        except RequestRefused as refused:
            if len(entries) > 1 and refused.status in REJECTED_STATUSES:
                for entry in entries:
                    self._post_to("media", {"entries": [entry]})
            else:
                self._post_to("media", values)

    def _change_params(self, values: dict[str, Any]) -> None:
        self._post_to("params", {"params": values, "replace": True})

    def _update_run(self, values: dict[str, Any]) -> None:
        self._post_optional(self._run, values, method="PATCH")

    def _end(self, values: dict[str, Any]) -> None:
        self._server.post(f"{self._run}/finish", values)
        self.has_ended = True

    def _leave(self, values: dict[str, Any]) -> None:
        """End this writer; other writers continue the run."""
        del values
        self.has_ended = True

    def _post_optional(self, path: str, values: dict[str, Any], method: str = "POST") -> None:
        try:
            self._server.post(path, values, method=method)
        except RequestRefused as refused:
            if refused.status not in (*REJECTED_STATUSES, CONFLICT) and not self._is_unknown(path, refused):
                raise
            log.warning("The server refused %s: %s", path, refused)

    def _is_unknown(self, path: str, refused: RequestRefused) -> bool:
        """Whether an older server has no such address."""
        return refused.status in (NOT_FOUND, NOT_ALLOWED) and path.endswith(NEW_PATHS)


HANDLERS: dict[str, Callable[[Shipper, dict[str, Any]], None]] = {
    "begin": Shipper._start,
    "params": lambda shipper, values: shipper._describe("params", values),
    "tags": lambda shipper, values: shipper._describe("tags", values),
    "missing": Shipper._send_missing,
    "clock": Shipper._send_clock,
    "host": Shipper._send_host,
    "config": Shipper._change_params,
    "media": Shipper._send_media,
    "change": Shipper._update_run,
    "drop_tags": lambda shipper, values: shipper._post_to("tags", values),
    "console": lambda shipper, values: shipper._post_to("console", values),
    "environment": lambda shipper, values: shipper._post_to("environment", values),
    "alert": lambda shipper, values: shipper._post_to("alerts", values),
    "version": lambda shipper, values: shipper._post_to("versions", values),
    "end": Shipper._end,
    "leave": Shipper._leave,
}

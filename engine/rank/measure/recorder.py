"""Spool file writer of a rank, which never stops training on a write error."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.telemetry import wire

# scope -> metric -> (status, reason)
MissingMetrics = Mapping[str, dict[str, tuple[str, str]]]


OUTPUT_CHARS = 2000  # of a prompt, a reference or an output


class Recorder:
    """The only writer of DIR/spool/rank<r>.jsonl.

    Each call is one write() of whole lines (about 5 us): a reader sees a step as soon as it is done, and a killed
    rank loses no recorded line. If a write fails, lines are dropped and counted; the count is recorded as a note once
    writes succeed again.
    """

    def __init__(self, spool: Path, rank: int) -> None:
        self._file = os.open(
            spool / f"rank{rank}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self.rank = rank
        self._unfinished = b""  # rest of a line that was written in part
        self.dropped_lines = 0
        self._unreported: dict[str, tuple[str, str]] = {}  # metrics to report with the next line

    def step(
        self,
        step: int,
        run: dict[str, float] | None,
        rank: Iterable[tuple[int, dict[str, float]]],
        missing: MissingMetrics,
    ) -> None:
        """Record the run metrics of a step (on the rank that reports them) and the rank metrics of completed steps.

        `missing` has the reasons for missing metrics by scope; it is given once.
        """
        now = time.time()
        self._unreported = self._unreported | missing.get("rank", {})
        lines = []
        for done, metrics in rank:
            lines.append(
                wire.SpoolLine(
                    "step", now, f"rank{self.rank}", step=done, metrics=metrics, missing=self._unreported
                )
            )
            self._unreported = {}
        if run is not None:
            common = missing.get("run", {})
            lines.insert(0, wire.SpoolLine("step", now, "run", step=step, metrics=run, missing=common))
        self._write(*lines)

    def validation(self, step: int, metrics: dict[str, float]) -> None:
        self._record("validation", "run", step=step, metrics=metrics)

    def outputs(self, step: int, found: Sequence[Any]) -> None:
        """Record outputs for held-out examples, each with `prompt`, `reference` and `output`."""
        for number, one in enumerate(found):
            texts = {name: getattr(one, name)[:OUTPUT_CHARS] for name in ("prompt", "reference", "output")}
            self._record("output", "run", step=step, number=number, texts=texts)

    def phase(self, name: str, seconds: float) -> None:
        self._record("phase", f"rank{self.rank}", text=name, seconds=seconds)

    def clock(self, first_step: int, step: int, at: float, seconds: dict[str, float]) -> None:
        """Record the wall clock of this rank until `at`, by part. It began after `first_step` steps of the run."""
        line = wire.SpoolLine("clock", at, f"rank{self.rank}", step=step, metrics=seconds, number=first_step)
        self._write(line)

    def checkpoint(
        self, step: int, folder: str, seconds: float, block_s: float, validation_loss: float | None
    ) -> None:
        """Record a complete checkpoint: the seconds that it took, and those that the steps waited for it."""
        loss = {} if validation_loss is None else {"validation_loss": validation_loss}
        metrics = {"checkpoint_block_s": block_s} | loss
        self._record("checkpoint", "run", step=step, text=folder, seconds=seconds, metrics=metrics)

    def timeline(self, step: int, began_at: float, timeline: wire.Timeline) -> None:
        self._write(wire.SpoolLine("timeline", began_at, f"rank{self.rank}", step=step, timeline=timeline))

    def trace(self, number: int, step: int, file: str, seconds: float) -> None:
        """Record a trace file in the attempt's trace/; the name is empty if it failed, with the reason in a note."""
        self._record("trace", f"rank{self.rank}", text=file, step=step, number=number, seconds=seconds)

    def note(self, text: str, level: str = "info", step: int | None = None) -> None:
        self._record("note", f"rank{self.rank}", text=text, level=level, step=step)

    def result(self, step: int, text: str, metrics: dict[str, float]) -> None:
        """Record how the run ended, with its last metrics."""
        self._record("result", "run", step=step, text=text, metrics=metrics)

    def close(self) -> None:
        os.close(self._file)

    def _record(self, kind: Any, source: str, **fields: Any) -> None:
        self._write(wire.SpoolLine(kind, time.time(), source, **fields))

    def _write(self, *lines: wire.SpoolLine) -> None:
        if self.dropped_lines and self._append(b""):
            text = f"{self.dropped_lines} lines of rank {self.rank} were dropped: the spool could not be written."
            note = wire.SpoolLine("note", time.time(), f"rank{self.rank}", text=text, level="warning")
            if self._append(wire.encode(note)):
                self.dropped_lines = 0
        if not self._append(b"".join(wire.encode(line) for line in lines)):
            self.dropped_lines += len(lines)

    def _append(self, content: bytes) -> bool:
        """Append the content after the rest of an unfinished line; return False if none of it was written."""
        rest = len(self._unfinished)
        whole = self._unfinished + content
        try:
            written = os.write(self._file, whole)
        except OSError:
            return False
        if written < rest:
            self._unfinished = self._unfinished[written:]
            return False
        self._unfinished = whole[written:]
        return True

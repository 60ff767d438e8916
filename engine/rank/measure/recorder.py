"""Appends what a rank has to say to its spool file; never stops training."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.telemetry import wire

# scope -> metric -> (status, reason)
Absences = Mapping[str, dict[str, tuple[str, str]]]


OUTPUT_CHARS = 2000  # of a prompt, a reference or an output


class Recorder:
    """One writer of DIR/spool/rank<r>.jsonl.

    Each call is one write() of whole lines (about 5 us): a reader sees a step as soon as it is done, and a killed
    rank loses nothing it has said. When the disk refuses, lines are dropped and counted, and the count is noted
    once writing works again.
    """

    def __init__(self, spool: Path, rank: int) -> None:
        self._file = os.open(
            spool / f"rank{rank}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        self.rank = rank
        self._unfinished = b""  # rest of a line of which the disk took only a part
        self.dropped_lines = 0
        self._unsaid: dict[str, tuple[str, str]] = {}  # absences that wait for a line of the rank

    def step(
        self,
        step: int,
        run: dict[str, float] | None,
        rank: Iterable[tuple[int, dict[str, float]]],
        absences: Absences,
    ) -> None:
        """The metrics of one step: the run's where this rank speaks for it, and the rank's own of the steps that are
        known by now. `absences` says by scope why some cannot be had; once is enough."""
        now = time.time()
        self._unsaid = self._unsaid | absences.get("rank", {})
        lines = []
        for done, metrics in rank:
            lines.append(
                wire.SpoolLine(
                    "step", now, f"rank{self.rank}", step=done, metrics=metrics, missing=self._unsaid
                )
            )
            self._unsaid = {}
        if run is not None:
            common = absences.get("run", {})
            lines.insert(0, wire.SpoolLine("step", now, "run", step=step, metrics=run, missing=common))
        self._write(*lines)

    def validation(self, step: int, metrics: dict[str, float]) -> None:
        self._say("validation", "run", step=step, metrics=metrics)

    def outputs(self, step: int, found: Sequence[Any]) -> None:
        """What the model made of held-out examples: each with `prompt`, `reference` and `output`."""
        for number, one in enumerate(found):
            told = {name: getattr(one, name)[:OUTPUT_CHARS] for name in ("prompt", "reference", "output")}
            self._say("output", "run", step=step, number=number, texts=told)

    def phase(self, name: str, seconds: float) -> None:
        self._say("phase", f"rank{self.rank}", text=name, seconds=seconds)

    def checkpoint(
        self, step: int, folder: str, seconds: float, block_s: float, validation_loss: float | None
    ) -> None:
        """A checkpoint that is there: how long it was under way, and how long the steps waited for it."""
        judged = {} if validation_loss is None else {"validation_loss": validation_loss}
        metrics = {"checkpoint_block_s": block_s} | judged
        self._say("checkpoint", "run", step=step, text=folder, seconds=seconds, metrics=metrics)

    def timeline(self, step: int, began_at: float, timeline: wire.Timeline) -> None:
        self._write(wire.SpoolLine("timeline", began_at, f"rank{self.rank}", step=step, timeline=timeline))

    def trace(self, number: int, step: int, file: str, seconds: float) -> None:
        """A profile that lies in the attempt's trace/ now; '' where it failed, which a note has told."""
        self._say("trace", f"rank{self.rank}", text=file, step=step, number=number, seconds=seconds)

    def note(self, text: str, level: str = "info", step: int | None = None) -> None:
        self._say("note", f"rank{self.rank}", text=text, level=level, step=step)

    def result(self, step: int, text: str, metrics: dict[str, float]) -> None:
        """How the run ended and its last figures."""
        self._say("result", "run", step=step, text=text, metrics=metrics)

    def close(self) -> None:
        os.close(self._file)

    def _say(self, kind: Any, source: str, **fields: Any) -> None:
        self._write(wire.SpoolLine(kind, time.time(), source, **fields))

    def _write(self, *lines: wire.SpoolLine) -> None:
        if self.dropped_lines and self._put(b""):
            text = f"{self.dropped_lines} lines of rank {self.rank} were dropped: the spool could not be written."
            note = wire.SpoolLine("note", time.time(), f"rank{self.rank}", text=text, level="warning")
            if self._put(wire.encode(note)):
                self.dropped_lines = 0
        if not self._put(b"".join(wire.encode(line) for line in lines)):
            self.dropped_lines += len(lines)

    def _put(self, content: bytes) -> bool:
        """Append, after the rest of a line that was cut short; False if the content was not begun."""
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

"""Progress of a run, read from its spool files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.directory import AttemptDirectory
from engine.telemetry.wire import SpoolLine, decode, number


class SpoolTail:
    """Reads new whole lines of one spool file from an offset on."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path, self._offset = path, offset

    def new_lines(self) -> Iterator[SpoolLine]:
        """Yield the new lines; invalid lines, such as one truncated by a full disk, are left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for text in whole.splitlines():
            try:
                yield decode(text)
            except ValueError:
                continue


@dataclass
class RunProgress:
    """Present state of a run: step, metrics, phase, notes."""

    steps: int
    step: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    phase: str = "starting"
    result: SpoolLine | None = None
    notes: list[str] = field(default_factory=list)  # not shown yet
    _first: tuple[int, float] | None = None  # step and time of the first step, for the time left
    _last_at: float = 0.0

    def update(self, line: SpoolLine) -> None:
        if line.k == "phase":
            self.phase = line.text
        elif line.k == "note" and line.level != "info":
            self.notes.append(line.text)
        elif line.k == "note":
            self.phase = line.text.removesuffix(".")
        elif line.k == "result":
            self.result = line
        if line.source == "run" and line.k in ("step", "validation", "result"):
            self.metrics |= {name: number(value) for name, value in line.metrics.items()}
        if line.k == "step" and line.source == "run" and line.step is not None:
            self.step, self._last_at = line.step, line.at
            self._first = self._first or (line.step, line.at)

    @property
    def left_s(self) -> float | None:
        """Seconds to the last step at the mean speed so far; None before the second step."""
        if self._first is None or self.step <= self._first[0]:
            return None
        step_s = (self._last_at - self._first[1]) / (self.step - self._first[0])
        return step_s * (self.steps - self.step)

    def __str__(self) -> str:
        if not self.step:
            return f"{self.phase} ..."
        words = [f"step {self.step:,}/{self.steps:,}"]
        if "loss" in self.metrics:
            words.append(f"loss {self.metrics['loss']:.4f}")
        if "tokens_per_s" in self.metrics:
            words.append(f"{self.metrics['tokens_per_s']:,.0f} tokens/s")
        if self.left_s is not None:
            minutes, seconds = divmod(round(self.left_s), 60)
            words.append(f"{minutes}:{seconds:02d} left")
        return "  ".join(words)


class SpoolFollower:
    """Reads new lines of all spool files of ranks and supervisor; skips the lines before its creation."""

    def __init__(self, directory: AttemptDirectory, steps: int) -> None:
        self._spool = directory.spool
        self._tails = {path: SpoolTail(path, path.stat().st_size) for path in self._files()}
        self.progress = RunProgress(steps)

    def poll(self) -> RunProgress:
        for path in self._files():
            tail = self._tails.setdefault(path, SpoolTail(path))
            for line in tail.new_lines():
                self.progress.update(line)
        return self.progress

    def _files(self) -> list[Path]:
        return [path for path in sorted(self._spool.glob("*.jsonl")) if path.name != "device.jsonl"]

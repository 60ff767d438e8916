"""Saving beside training: state is copied at a step border and written while the next steps run.

A save goes through three states: every rank writes its file in a thread of its own; once the all-reduce of a step
border says that all have, rank 0 completes the folder in its thread; then it is there. A save that fails is given up on
all ranks at the same border, and the checkpoint before it stays.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deepspeed import comm
from torch import Tensor

from engine.checkpoints import tensors
from engine.checkpoints.folder import TOKENIZER, complete, prune, sync
from engine.checkpoints.pieces import rank_file
from engine.directory import AttemptDirectory, checkpoint_name
from engine.rank.checkpoint.state import Place, Snapshot, layout, snapshot
from engine.rank.measure.recorder import Recorder
from engine.spec.spec import Spec


class Pending:
    """One save under way, as this rank sees it."""

    def __init__(self, step: int, validation_loss: float | None, block_s: float) -> None:
        self.step, self.validation_loss, self.block_s = step, validation_loss, block_s
        self.began = time.perf_counter()
        self.is_waited_for = False  # the last one of an attempt
        self.error: OSError | None = None
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], None]) -> None:
        """In a thread of its own, one after the other."""

        def guarded() -> None:
            try:
                work()
            except OSError as error:
                self.error = error

        self.wait()
        self._thread = threading.Thread(target=guarded, name="checkpoint", daemon=True)
        self._thread.start()

    @property
    def is_at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()


class Saver:
    """All saves of one rank. Methods marked collective are called by every rank at the same border."""

    def __init__(
        self, directory: AttemptDirectory, engine: Any, spec: Spec, dtype: str, place: Place, recorder: Recorder,
        tokenizer: Path | None = None, best_loss: float | None = None,
    ) -> None:  # fmt: skip
        self._folder, self._engine, self._spec, self._dtype = directory.checkpoints, engine, spec, dtype
        self._place, self._recorder, self._tokenizer = place, recorder, tokenizer
        self._best_loss = best_loss
        self._writing: Pending | None = None  # some rank still writes its file
        self._completing: Pending | None = (
            None  # rank 0 only: all files are there, the folder is being closed
        )
        self._buffers: dict[str, Tensor] = {}
        if place.rank == 0:
            for unfinished in self._folder.glob(".*-step-*"):
                shutil.rmtree(unfinished, ignore_errors=True)

    def is_best(self, validation_loss: float) -> bool:
        """Whether this validation is better than every one before; only asked where the best is to be kept."""
        is_better = self._best_loss is None or validation_loss < self._best_loss
        if is_better:
            self._best_loss = validation_loss
        return is_better

    def begin(self, step: int, validation_loss: float | None) -> None:
        """Copy the state and begin to write it. Collective; waits for the save before."""
        start = time.perf_counter()
        self.settle()
        taken = snapshot(self._engine, self._spec, self._place, self._copied)
        if self._engine.device.type == "cuda":
            torch.cuda.synchronize()
        self._writing = Pending(step, validation_loss, time.perf_counter() - start)
        self._writing.do(lambda: self._write(step, taken))

    def flags(self) -> tuple[float, float]:
        """For the all-reduce of a border: whether this rank has nothing left to write, and whether it failed."""
        if self._writing is None or self._writing.is_at_work:
            return 0.0, 0.0
        return 1.0, float(self._writing.error is not None)

    def take(self, num_written: float, num_failed: float) -> None:
        """What the all-reduce gave. Collective; costs nothing while a rank still writes."""
        if self._writing is not None and round(num_written) == comm.get_world_size():
            self._conclude(num_failed > 0)
        if self._completing is not None and not self._completing.is_at_work:
            self._told()

    def settle(self) -> None:
        """Wait until no save is under way. Collective."""
        if self._writing is not None:
            self._writing.wait()
            self._conclude(self._any(self._writing.error))
        if self._completing is not None:
            self._completing.wait()
            self._told()

    def finish(self, step: int, validation_loss: float | None) -> None:
        """The last save of an attempt. Collective. Raises OSError on every rank if it could not be made."""
        self.begin(step, validation_loss)
        pending = self._writing
        assert pending is not None
        pending.is_waited_for = True
        self.settle()
        if self._any(pending.error):
            why = pending.error or OSError("another rank could not write its part")
            raise OSError(f"The last checkpoint, at step {step}, could not be written: {_said(why)}.")

    def _any(self, error: OSError | None) -> bool:
        failed = torch.tensor(float(error is not None), device=self._engine.device)
        comm.all_reduce(failed)
        return bool(failed > 0)

    def _conclude(self, is_failed: bool) -> None:
        """All ranks have written, or some could not. The same on every rank."""
        pending, self._writing = self._writing, None
        assert pending is not None
        if pending.error is not None:
            self._warn(pending)
        if self._place.rank == 0:
            if is_failed:
                shutil.rmtree(self._aside(pending.step), ignore_errors=True)
            else:
                self._completing = pending
                pending.do(lambda: self._complete(pending))

    def _told(self) -> None:
        """Rank 0 has closed the folder, or could not."""
        pending, self._completing = self._completing, None
        assert pending is not None
        if pending.error is not None:
            self._warn(pending)
            shutil.rmtree(self._aside(pending.step), ignore_errors=True)
            return
        took_s = time.perf_counter() - pending.began
        block_s = pending.block_s + (took_s if pending.is_waited_for else 0.0)
        name = checkpoint_name(pending.step)
        self._recorder.checkpoint(pending.step, name, took_s, block_s, pending.validation_loss)

    def _warn(self, pending: Pending) -> None:
        assert pending.error is not None
        text = (
            f"The checkpoint at step {pending.step} could not be written: {_said(pending.error)}. "
            "The one before is kept."
        )
        self._recorder.note(text, "warning", step=pending.step)

    def _copied(self, key: str, values: Tensor) -> Tensor:
        """A copy in this host's memory, in the buffer of the save before: that one is written by now."""
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != values.shape:
            is_pinned = values.device.type == "cuda"
            buffer = torch.empty(values.shape, dtype=values.dtype, pin_memory=is_pinned)
            self._buffers[key] = buffer
        return buffer.copy_(values, non_blocking=True)

    def _aside(self, step: int) -> Path:
        return self._folder / f".saving-{checkpoint_name(step)}"

    def _write(self, step: int, taken: Snapshot) -> None:
        aside = self._aside(step)
        aside.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray[Any, Any]] = {
            key: values.numpy() for key, values in taken.tensors.items()
        }
        tensors.write(aside / rank_file(self._place.rank), arrays, {"own": json.dumps(taken.own)})

    def _complete(self, pending: Pending) -> None:
        aside, budget = self._aside(pending.step), self._spec.budget
        if self._tokenizer is not None:
            shutil.copyfile(self._tokenizer, aside / TOKENIZER)
            sync(aside / TOKENIZER)
        described = {
            "step": pending.step, "layout": layout(self._spec, self._dtype), "spec": self._spec.model_dump(),
            "validation_loss": pending.validation_loss, "best_loss": self._best_loss,
        }  # fmt: skip
        complete(aside, self._folder / checkpoint_name(pending.step), described)
        with contextlib.suppress(OSError):  # the new one is there; what is left over goes at the next save
            prune(self._folder, budget.keep_checkpoints, budget.keep_best)


def _said(error: OSError) -> str:
    return error.strerror or str(error)

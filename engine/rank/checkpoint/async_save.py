"""Asynchronous checkpoints: copied at a step boundary, written during later steps.

A save has three phases. Every rank writes its file in a thread. Once the all-reduce of a step boundary shows that all
ranks have written, rank 0 completes the folder in its thread. Then the checkpoint exists. All ranks give up a failed
save at the same step boundary; the previous checkpoint is kept.
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
from engine.checkpoints.checksums import write_sidecar
from engine.checkpoints.counters import NO_COUNTERS
from engine.checkpoints.folder import complete_checkpoint, fsync_path, prune_checkpoints
from engine.checkpoints.sharded_checkpoint import rank_file_name
from engine.data.tokenizer_files import KEPT
from engine.directory import AttemptDirectory, checkpoint_name
from engine.rank.checkpoint.layout import describe_layout
from engine.rank.checkpoint.position import RankPosition
from engine.rank.checkpoint.state import RankSnapshot, RestoredState, take_snapshot
from engine.rank.measure.recorder import Recorder
from engine.spec.spec import Spec


class PendingSave:
    """One save in progress on this rank."""

    def __init__(self, step: int, validation_loss: float | None, block_s: float) -> None:
        self.step, self.validation_loss, self.block_s = step, validation_loss, block_s
        self.began_s = time.perf_counter()
        self.is_last = False  # of the attempt, which waits for it
        self.error: OSError | None = None
        self._thread: threading.Thread | None = None

    def run_in_thread(self, work: Callable[[], None]) -> None:
        """Run `work` in a new thread once the previous one has ended; an OSError is kept in `error`."""

        def run() -> None:
            try:
                work()
            except OSError as error:
                self.error = error

        self.wait()
        self._thread = threading.Thread(target=run, name="checkpoint", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()


class CheckpointSaver:
    """All saves of one rank. Every rank calls the methods marked collective at the same step boundary."""

    def __init__(
        self, directory: AttemptDirectory, engine: Any, spec: Spec, dtype: str, position: RankPosition,
        recorder: Recorder, tokenizer: Path | None = None, restored: RestoredState | None = None,
        base: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._folder, self._engine, self._spec, self._dtype = directory.checkpoints, engine, spec, dtype
        self._position, self._recorder = position, recorder
        files = [tokenizer / name for name in KEPT] if tokenizer else []  # of the tokenizer in this folder
        self._tokenizer_files = [path for path in files if path.exists()]
        self._base = base  # of adapters
        self._best_loss = restored.best_loss if restored else None
        self._counters = restored.counters if restored else NO_COUNTERS
        self._writing: PendingSave | None = None  # some rank still writes its file
        self._completing: PendingSave | None = (
            None  # rank 0 only: all files exist, the folder is being completed
        )
        self._buffers: dict[str, Tensor] = {}
        if position.rank == 0:
            for unfinished in self._folder.glob(".*-step-*"):
                shutil.rmtree(unfinished, ignore_errors=True)

    def is_best(self, validation_loss: float) -> bool:
        """Whether this validation loss is the lowest so far; called only if the run keeps its best checkpoint."""
        is_better = self._best_loss is None or validation_loss < self._best_loss
        if is_better:
            self._best_loss = validation_loss
        return is_better

    def begin(self, step: int, validation_loss: float | None) -> None:
        """Copy the state and start to write it. Collective; waits for the previous save."""
        start = time.perf_counter()
        self.wait()
        snapshot = take_snapshot(self._engine, self._spec, self._position, self._copy_to_host)
        if self._engine.device.type == "cuda":
            torch.cuda.synchronize()
        self._writing = PendingSave(step, validation_loss, time.perf_counter() - start)
        self._writing.run_in_thread(lambda: self._write(step, snapshot))

    def flags(self) -> tuple[float, float]:
        """Return (has written, has failed) of this rank as 0 or 1, for the all-reduce of a step boundary."""
        if self._writing is None or self._writing.is_running:
            return 0.0, 0.0
        return 1.0, float(self._writing.error is not None)

    def update(self, num_written: float, num_failed: float) -> None:
        """Advance the save by the sums of `flags` over all ranks. Collective; does nothing while a rank writes."""
        if self._writing is not None and round(num_written) == comm.get_world_size():
            self._end_writing(num_failed > 0)
        if self._completing is not None and not self._completing.is_running:
            self._record_completion()

    def wait(self) -> None:
        """Wait until no save is in progress. Collective."""
        if self._writing is not None:
            self._writing.wait()
            self._end_writing(self._any_rank_failed(self._writing.error))
        if self._completing is not None:
            self._completing.wait()
            self._record_completion()

    def finish(self, step: int, validation_loss: float | None) -> None:
        """Save the last checkpoint of an attempt and wait for it. Collective. Raises OSError on every rank."""
        self.begin(step, validation_loss)
        pending = self._writing
        assert pending is not None
        pending.is_last = True
        self.wait()
        if self._any_rank_failed(pending.error):
            error = pending.error or OSError("another rank could not write its file")
            raise OSError(f"The last checkpoint (step {step}) could not be written: {_error_text(error)}.")

    def _any_rank_failed(self, error: OSError | None) -> bool:
        failed = torch.tensor(float(error is not None), device=self._engine.device)
        comm.all_reduce(failed)
        return bool(failed > 0)

    def _end_writing(self, is_failed: bool) -> None:
        """End the writing phase once all ranks have written or failed; every rank has the same `is_failed`."""
        pending, self._writing = self._writing, None
        assert pending is not None
        if pending.error is not None:
            self._warn(pending)
        if self._position.rank == 0:
            if is_failed:
                shutil.rmtree(self._temporary_folder(pending.step), ignore_errors=True)
            else:
                self._completing = pending
                pending.run_in_thread(lambda: self._complete(pending))

    def _record_completion(self) -> None:
        """Record a completed checkpoint, or warn if rank 0 could not complete the folder."""
        pending, self._completing = self._completing, None
        assert pending is not None
        if pending.error is not None:
            self._warn(pending)
            shutil.rmtree(self._temporary_folder(pending.step), ignore_errors=True)
            return
        took_s = time.perf_counter() - pending.began_s
        block_s = pending.block_s + (took_s if pending.is_last else 0.0)
        name = checkpoint_name(pending.step)
        self._recorder.checkpoint(pending.step, name, took_s, block_s, pending.validation_loss)

    def _warn(self, pending: PendingSave) -> None:
        assert pending.error is not None
        text = (
            f"The checkpoint at step {pending.step} could not be written: {_error_text(pending.error)}. "
            "The previous checkpoint is kept."
        )
        self._recorder.note(text, "warning", step=pending.step)

    def _copy_to_host(self, key: str, values: Tensor) -> Tensor:
        """Copy values to host memory, into the buffer of the previous save, which is written by now."""
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape != values.shape:
            is_pinned = values.device.type == "cuda"
            buffer = torch.empty(values.shape, dtype=values.dtype, pin_memory=is_pinned)
            self._buffers[key] = buffer
        return buffer.copy_(values, non_blocking=True)

    def _temporary_folder(self, step: int) -> Path:
        return self._folder / f".saving-{checkpoint_name(step)}"

    def _write(self, step: int, snapshot: RankSnapshot) -> None:
        temporary = self._temporary_folder(step)
        temporary.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray[Any, Any]] = {
            key: values.numpy() for key, values in snapshot.tensors.items()
        }
        path = temporary / rank_file_name(self._position.rank)
        write_sidecar(path, tensors.write_tensors(path, arrays, {"own": json.dumps(snapshot.own)}))

    def _complete(self, pending: PendingSave) -> None:
        temporary, budget = self._temporary_folder(pending.step), self._spec.budget
        for path in self._tokenizer_files:
            shutil.copyfile(path, temporary / path.name)
            fsync_path(temporary / path.name)
        description = {
            "step": pending.step, "layout": describe_layout(self._spec, self._dtype), "spec": self._spec.model_dump(),
            "validation_loss": pending.validation_loss, "best_loss": self._best_loss,
            "counters": self._counters.after(pending.step, self._spec).to_json(),
        }  # fmt: skip
        if self._base is not None:
            description["base"] = self._base
        complete_checkpoint(temporary, self._folder / checkpoint_name(pending.step), description)
        with contextlib.suppress(OSError):  # the new checkpoint exists; the next save deletes what is left
            prune_checkpoints(self._folder, budget.keep_checkpoints, budget.keep_best, pending.step)


def _error_text(error: OSError) -> str:
    return error.strerror or str(error)

"""Saving a run's whole state at a step border, and going on from it as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from deepspeed import comm

from engine.directory import AttemptDirectory, checkpoint_name
from engine.spec import Spec, flatten

FORMAT = 1
TAG = "state"  # DeepSpeed's folder inside a checkpoint


class ResumeError(ValueError):
    """A checkpoint that this spec cannot go on from; the sentence says why."""


def layout(spec: Spec, dtype: str) -> dict[str, Any]:
    """What must be equal between a checkpoint and the spec that resumes from it."""
    model = spec.model.model_dump(exclude={"dropout"}) | {"vocab_size": spec.vocab_size}
    parallel = spec.parallel.model_dump(exclude={"activation_checkpointing"})
    return {"model": model, "parallel": parallel, "dtype": dtype, "optimiser": spec.optimiser.name}


def save(directory: AttemptDirectory, engine: Any, spec: Spec, dtype: str, steps_done: int) -> str:
    """Write checkpoints/step-XXXXXXXX and return its name. Collective. Complete or absent: everything is written
    and synced under another name, the manifest last, then renamed. Raises OSError."""
    name = checkpoint_name(steps_done)
    aside, rank = directory.checkpoints / f".saving-{name}", comm.get_rank()
    if rank == 0:
        for unfinished in directory.checkpoints.glob(".saving-*"):
            shutil.rmtree(unfinished)
        aside.mkdir(parents=True)
    comm.barrier()
    engine.save_checkpoint(str(aside), tag=TAG, save_latest=False)
    torch.save(_own_state(engine), aside / f"rank{rank}.pt")
    comm.barrier()
    if rank == 0:
        _complete(aside, directory.checkpoints / name, layout(spec, dtype), steps_done)
        _prune(directory.checkpoints, spec.budget.keep_checkpoints)
    comm.barrier()
    return name


def resume(path: Path, engine: Any, spec: Spec, dtype: str) -> int:
    """Load a checkpoint into a fresh engine; returns the steps done. Collective.
    Raises ResumeError if it is incomplete or of another layout."""
    manifest = read_manifest(path)
    _refuse_other_layout(manifest["layout"], layout(spec, dtype))
    loaded, _ = engine.load_checkpoint(str(path), tag=TAG)
    if loaded is None:
        raise ResumeError(f"DeepSpeed found no state in the checkpoint {path.name}.")
    state = torch.load(path / f"rank{comm.get_rank()}.pt", weights_only=True)
    torch.set_rng_state(state["random"])
    if "cuda_random" in state:
        torch.cuda.set_rng_state(state["cuda_random"])
    if "micro_offset" in state:
        engine.module.micro_offset = state["micro_offset"]
    return int(manifest["step"])


def read_manifest(path: Path) -> dict[str, Any]:
    """Raises ResumeError unless the checkpoint is complete: manifest there, every file of its size."""
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
    except (OSError, ValueError):
        raise ResumeError(f"The checkpoint {path.name} is not complete: it has no manifest.") from None
    if manifest.get("format") != FORMAT:
        raise ResumeError(
            f"The checkpoint {path.name} has format {manifest.get('format')}; this reads {FORMAT}."
        )
    for name, size_bytes in manifest["files"].items():
        if not (path / name).is_file() or (path / name).stat().st_size != size_bytes:
            raise ResumeError(
                f"The checkpoint {path.name} is damaged: {name} is missing or not {size_bytes:,} bytes."
            )
    return manifest


def _own_state(engine: Any) -> dict[str, Any]:
    """What DeepSpeed leaves out: random states, and the pipeline's micro-batch counter."""
    state: dict[str, Any] = {"random": torch.get_rng_state()}
    if engine.device.type == "cuda":
        state["cuda_random"] = torch.cuda.get_rng_state()
    if hasattr(engine.module, "micro_offset"):
        state["micro_offset"] = engine.module.micro_offset
    return state


def _complete(aside: Path, final: Path, described: dict[str, Any], steps_done: int) -> None:
    files = sorted(path for path in aside.rglob("*") if path.is_file())
    sizes = {path.relative_to(aside).as_posix(): path.stat().st_size for path in files}
    manifest = {"format": FORMAT, "step": steps_done, "layout": described, "files": sizes}
    (aside / "manifest.json").write_text(json.dumps(manifest, indent=1))
    for path in (*files, aside / "manifest.json", *(p for p in aside.rglob("*") if p.is_dir()), aside):
        _sync(path)
    if final.exists():  # an earlier attempt's checkpoint of the same step
        shutil.rmtree(final)
    os.rename(aside, final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _prune(folder: Path, keep: int) -> None:
    complete = sorted(path.parent for path in folder.glob("step-*/manifest.json"))
    for old in complete[:-keep]:
        # The manifest goes first: a half-deleted folder is not complete any more.
        (old / "manifest.json").unlink()
        shutil.rmtree(old)


def _refuse_other_layout(saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    before, now = flatten(saved), flatten(wanted)
    differing = [
        f"{key} {before.get(key)} instead of {now.get(key)}" for key in now if before.get(key) != now[key]
    ]
    if differing:
        raise ResumeError(
            f"The checkpoint has {', '.join(differing)}; it can be resumed only with the same layout."
        )

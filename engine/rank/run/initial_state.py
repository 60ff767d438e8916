"""Initial state of a rank: checkpoint, initial weights, number format, tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from deepspeed import comm

from engine.checkpoints.adapters import fingerprint
from engine.checkpoints.folder import MANIFEST, TOKENIZER, DamagedCheckpointError, ResumeError
from engine.checkpoints.initial_weights import InitialWeights, open_base, open_initial_weights
from engine.checkpoints.soundness import OpenCheckpoint, list_resume_points, open_checkpoint
from engine.data.tokenizer_files import KEPT
from engine.directory import Placement, RankSeat
from engine.rank.checkpoint import state
from engine.rank.checkpoint.choose import choose_checkpoint
from engine.rank.checkpoint.position import RankPosition
from engine.rank.checkpoint.state import RestoredState
from engine.rank.measure.recorder import Recorder
from engine.rank.train.precision import resolve_dtype
from engine.spec.spec import Spec
from engine.telemetry.heartbeat import Heartbeat, Stage

DTYPES = ("fp32", "bf16", "fp16", "tf32")


def find_tokenizer(spec: Spec, placement: Placement) -> Path | None:
    """Return the folder with the tokenizer of the weights, if it is not made from the corpus; checkpoints contain it.

    All checkpoints of a run have the same one, so the first that is complete serves.
    """
    kind = spec.data.tokenizer
    if kind == "bytes" or (kind == "bpe" and not spec.start_from):
        return None
    if not placement.resume_from:
        is_named = kind == "pretrained" and bool(spec.data.tokenizer_path)
        return Path(placement.start_from) if placement.start_from and not is_named else None
    for path in list_resume_points(Path(placement.resume_from), placement.older_checkpoints):
        try:
            checkpoint = open_checkpoint(path)
            for name in [one for one in KEPT if one in checkpoint.manifest["files"]] or [TOKENIZER]:
                checkpoint.verify_file(name)
        except DamagedCheckpointError:
            continue
        return path
    return Path(placement.resume_from)  # `choose_source` refuses the resume with every reason


def choose_source(placement: Placement, recorder: Recorder, heartbeat: Heartbeat) -> OpenCheckpoint | None:
    """Return the verified checkpoint to resume from; None if the run starts. Collective.

    Verifies a checkpoint with initial weights too, which has no older one in its place. Raises ResumeError.
    """

    def note(text: str, level: str) -> None:
        if recorder.rank == 0:
            recorder.note(text, level)

    def report_progress() -> None:
        heartbeat.beat(0, Stage.LONG)

    if placement.resume_from:
        candidates = list_resume_points(Path(placement.resume_from), placement.older_checkpoints)
        return choose_checkpoint(candidates, note, report_progress)
    if placement.start_from and (Path(placement.start_from) / MANIFEST).is_file():
        choose_checkpoint([Path(placement.start_from)], note, report_progress)
    return None


def choose_dtype(
    spec: Spec, seat: RankSeat, placement: Placement, source: OpenCheckpoint | None, recorder: Recorder
) -> str:
    """Return the number format of the run, the same on every rank, and set up torch for it.

    Collective over several nodes.
    """
    if spec.precision.dtype == "auto" and source is not None:
        # Another node may choose differently; a resumed run keeps its number format.
        dtype = str(source.manifest["layout"]["dtype"])
        reason, level = f"Number format {dtype}, as in the checkpoint.", "info"
    else:
        dtype, reason, level = resolve_dtype(spec, seat.device_kind, Path(placement.data_dir))
    if recorder.rank == 0:
        recorder.note(reason, level)
    if placement.has_other_nodes:
        dtype = _broadcast_dtype(dtype, seat)
    if dtype == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    return dtype


@dataclass(frozen=True)
class FrozenBase:
    """The frozen weights of a run with adapters, and how its checkpoints refer to them."""

    weights: InitialWeights
    reference: dict[str, str]  # path, title, checksum


def open_frozen_base(
    source: OpenCheckpoint | None, spec: Spec, placement: Placement, heartbeat: Heartbeat, is_first: bool
) -> FrozenBase | None:
    """Open the frozen weights; None without adapters. The first rank computes their checksum and, on a resume,
    compares it with that of the checkpoint. Raises SpecError, ResumeError."""
    if not spec.adapter.is_on:
        return None
    if source is None:
        assert placement.start_from is not None, "the rules refuse adapters without initial weights"
    if placement.start_from:
        title = placement.start_title or placement.start_from
        weights = open_initial_weights(Path(placement.start_from), title).frozen_under(spec)
    else:
        assert source is not None
        weights = open_base(source)
    weights.refuse_misfit(spec)
    assert weights.folder is not None
    reference = {"path": str(weights.folder.resolve()), "title": weights.origin.title}
    if is_first:
        reference["checksum"] = fingerprint(weights.folder, lambda: heartbeat.beat(0, Stage.LONG))
        saved = source.manifest.get("base", {}).get("checksum") if source else None
        if saved is not None and saved != reference["checksum"]:
            raise ResumeError(
                f"The weights of {weights.origin.title} have changed since the adapters of {source.path.name} were "
                f"trained beside them: their checksum is {reference['checksum']}, not {saved}."
            )
    return FrozenBase(weights, reference)


def load_state(
    source: OpenCheckpoint | None, engine: Any, spec: Spec, dtype: str, position: RankPosition,
    placement: Placement, recorder: Recorder,
) -> RestoredState:  # fmt: skip
    """Load the checkpoint or the initial weights into the engine of this rank. Raises ResumeError, SpecError."""
    restored = RestoredState(0, None, ())
    if source is not None:
        restored = state.resume(source, engine, spec, dtype, position)
    elif placement.start_from:
        title = placement.start_title or placement.start_from
        weights = open_initial_weights(Path(placement.start_from), title)
        restored = RestoredState(0, None, (state.load_initial_weights(weights, engine, spec, position),))
    if recorder.rank == 0:
        for text in restored.notes:
            recorder.note(text, restored.level)
    return restored


def _broadcast_dtype(dtype: str, seat: RankSeat) -> str:
    """Return the number format that rank 0 has chosen, since each node measures by itself. Collective."""
    device = torch.device("cpu") if seat.device_kind == "cpu" else torch.device("cuda", seat.local_rank)
    chosen = torch.tensor(DTYPES.index(dtype), device=device)
    comm.broadcast(chosen, 0)
    return DTYPES[int(chosen)]

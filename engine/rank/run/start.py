"""From a process and an attempt directory to a training rank."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import deepspeed
import torch
from deepspeed import comm
from deepspeed.comm import comm as backends

from engine.checkpoints.folder import TOKENIZER, read_manifest
from engine.checkpoints.start import open_start
from engine.data import objectives
from engine.data.full import with_full_batch
from engine.data.prepare import Prepared, prepare
from engine.directory import AttemptDirectory, Placement, Seat
from engine.rank.bench import fabric_test
from engine.rank.checkpoint import state
from engine.rank.checkpoint.async_save import Saver
from engine.rank.measure import progress_log
from engine.rank.measure.breakdown import Breakdown
from engine.rank.measure.profiler import Tracer
from engine.rank.measure.progress_log import Narrator
from engine.rank.measure.recorder import Recorder
from engine.rank.measure.timeline import early_step
from engine.rank.measure.timers import marks_of
from engine.rank.model.loss import Loss
from engine.rank.parallel import collectives
from engine.rank.parallel.gloo_gather import gather_by_broadcasts
from engine.rank.parallel.transfers import Transfers
from engine.rank.run.loop import train
from engine.rank.run.session import Session
from engine.rank.train.closure import ClosureTrainer
from engine.rank.train.divergence import DivergenceGuard
from engine.rank.train.engine import build_engine
from engine.rank.train.precision import resolve_dtype
from engine.rank.train.trainers import MicroBatches, PipelineTrainer, PlainTrainer
from engine.rank.train.update import Update
from engine.spec import checks
from engine.spec.spec import Spec
from engine.supervisor.hang_detection import DUMP_SIGNAL, PEER_TIMEOUT_S
from engine.telemetry.heartbeat import Heartbeat, Stage

# DeepSpeed 0.19.8 calls names that torch 2.13 has renamed; neither is ours to change.
warnings.filterwarnings("ignore", r"`torch\.distributed\.", FutureWarning)

DTYPES = ("fp32", "bf16", "fp16", "tf32")


class StopFlag:
    """Set by SIGTERM; the loop reads it at step borders."""

    def __init__(self) -> None:
        self.wanted = False
        signal.signal(signal.SIGTERM, self._set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True

    def __call__(self) -> bool:
        return self.wanted


def run_rank(directory: AttemptDirectory, rank: int, began: float) -> int:
    """Train as rank `rank` of the attempt; returns the exit code. `began`: perf_counter() at process start.
    Raises SpecError, ResumeError, OSError and what torch and deepspeed raise."""
    stop = StopFlag()
    faulthandler.register(
        DUMP_SIGNAL, all_threads=True
    )  # in C, so that it answers out of a stuck collective too
    if directory.read_spec().kind == "fabric_test":
        return fabric_test.run(directory, rank, began, stop, _set_up_process)
    session = open_session(directory, rank, began)
    try:
        return train(session, stop).exit_code
    finally:
        session.recorder.close()


def open_session(directory: AttemptDirectory, rank: int, began: float) -> Session:
    """Everything up to the first step: data, peers, engine, resumed state. Collective; raises as run_rank does."""
    started_at = time.monotonic()
    progress_log.begin()
    spec, placement = directory.read_spec(), directory.read_placement()
    seat = next(seat for seat in placement.seats if seat.rank == rank)
    recorder, heartbeat = Recorder(directory.spool, rank), Heartbeat(directory.path, rank)
    heartbeat.beat(0, Stage.DATA)
    if rank == 0:
        recorder.phase("imports", time.perf_counter() - began)
    checks.refuse_impossible(spec, checks.Hardware(seat.device_kind))
    device = _set_up_process(placement, seat)

    with _phase(recorder, "data"):
        tokens = _tokens(spec, placement, recorder)
        if spec.batch.full_batch:
            spec = with_full_batch(spec, tokens)
    with _phase(recorder, "build"):
        heartbeat.beat(0, Stage.BUILD)
        transfers = Transfers(rank, device) if spec.parallel.stages > 1 else None
        breakdown = Breakdown(marks_of(seat.device_kind), transfers)
        dtype = _choose_dtype(spec, seat, placement, recorder)
        if dtype == "tf32":
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        _join(seat, breakdown)
        if placement.has_other_nodes:
            dtype = _as_rank_0_chose(dtype, device)
        # Dropout differs by stage and data rank, and is the same on tensor ranks, which hold the same stream; the
        # weights come from seeds of their own.
        torch.manual_seed(spec.seed * 1_000_003 + seat.stage * spec.parallel.data + seat.data_rank)
        loss = Loss(spec.optimiser.label_smoothing)
        guard = DivergenceGuard(spec)
        update = Update(spec.optimiser.gradient_clip, guard)
        engine, optimiser = build_engine(spec, dtype, seat.device_kind, loss, update)
        micro_batches = MicroBatches(spec, seat.data_rank, device, heartbeat)
        trainer = _trainer_for(spec)(spec, engine, loss, micro_batches, breakdown, update)
        heartbeat.beat(0, Stage.LONG)
        saver, first_step = _saver(directory, engine, spec, dtype, seat, placement, recorder, tokens)
    narrator = Narrator(rank, spec.budget.steps)
    where = f"{seat.device_kind} #{seat.device_index}, stage {seat.stage}, data rank {seat.data_rank}"
    where += f", tensor rank {seat.tensor_rank}" if spec.parallel.tensor > 1 else ""
    progress_log.log.info("rank %d of %d on %s; %s, %d threads", rank, placement.world_size, where, dtype,
                     placement.threads_per_rank)  # fmt: skip
    last_step = min(placement.halt_at_step or spec.budget.steps, spec.budget.steps)
    early = early_step(first_step, last_step)
    tracer = Tracer(directory, placement.world_size, recorder, breakdown, heartbeat, early)
    return Session(
        directory, spec, dtype, device, started_at, first_step, tokens, engine, optimiser, trainer, update, guard,
        breakdown, recorder, saver, heartbeat, narrator, seat, tracer, placement.halt_at_step,
    )  # fmt: skip


def _trainer_for(spec: Spec) -> type[PlainTrainer | PipelineTrainer]:
    if spec.parallel.stages > 1:
        return PipelineTrainer
    return ClosureTrainer if spec.optimiser.row.has_closure else PlainTrainer


def _set_up_process(placement: Placement, seat: Seat) -> torch.device:
    """The environment DeepSpeed and torch.distributed read; MASTER_PORT comes from the supervisor."""
    values = {
        "RANK": seat.rank, "LOCAL_RANK": seat.local_rank, "WORLD_SIZE": placement.world_size,
        "MASTER_ADDR": placement.master_addr, "OMP_NUM_THREADS": placement.threads_per_rank,
    }  # fmt: skip
    if placement.master_port:
        os.environ.setdefault("MASTER_PORT", str(placement.master_port))
    os.environ.update({name: str(value) for name, value in values.items()})
    os.environ.pop("LOCAL_SIZE", None)  # with it DeepSpeed leaves 66 MiB a rank in /dev/shm
    torch.set_num_threads(placement.threads_per_rank)
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    if seat.device_kind == "cpu":
        return torch.device("cpu")
    torch.cuda.set_device(seat.local_rank)
    return torch.device("cuda", seat.local_rank)


def _tokens(spec: Spec, placement: Placement, recorder: Recorder) -> Prepared:

    def say(text: str) -> None:
        recorder.note(text)
        progress_log.log.info(text)

    roots = Path(placement.corpus_root), Path(placement.data_dir)
    tokens = prepare(spec.data, *roots, say, tokenizer=_tokenizer(spec, placement))
    objectives.refuse_unfit(spec, tokens)
    if recorder.rank == 0:
        recorder.note(
            f"Corpus {spec.data.corpus}: {len(tokens.train):,} {tokens.unit} to train on, "
            f"{len(tokens.validation):,} held out; licence {tokens.meta['licence']}."
        )
    return tokens


def _tokenizer(spec: Spec, placement: Placement) -> Path | None:
    """The one that the weights know, where they were not made from this corpus; every checkpoint carries it on."""
    known = placement.resume_from or placement.start_from
    if not spec.start_from or not known or spec.data.tokenizer != "bpe":
        return None
    return Path(known) / TOKENIZER


def _saver(
    directory: AttemptDirectory, engine: Any, spec: Spec, dtype: str, seat: Seat, placement: Placement,
    recorder: Recorder, tokens: Prepared,
) -> tuple[Saver, int]:  # fmt: skip
    """The rank's saver, and the steps that a resumed checkpoint has behind it."""
    place = state.Place.of(seat, spec)
    resumed = state.Resumed(0, None, ())
    if placement.resume_from:
        resumed = state.resume(Path(placement.resume_from), engine, spec, dtype, place)
    elif placement.start_from:
        begun = open_start(Path(placement.start_from), placement.start_title or placement.start_from)
        resumed = state.Resumed(0, None, (state.start(begun, engine, spec, place),))
    if recorder.rank == 0:
        for note in resumed.notes:
            recorder.note(note)
    tokenizer = tokens.folder / "tokenizer.json"
    saver = Saver(directory, engine, spec, dtype, place, recorder,
                  tokenizer if tokenizer.exists() else None, resumed.best_loss)  # fmt: skip
    return saver, resumed.step


def _choose_dtype(spec: Spec, seat: Seat, placement: Placement, recorder: Recorder) -> str:
    if spec.precision.dtype == "auto" and placement.resume_from:
        # Another node may decide otherwise; the run goes on as it began.
        dtype = str(read_manifest(Path(placement.resume_from))["layout"]["dtype"])
        why, level = f"Number format {dtype}, as in the checkpoint.", "info"
    else:
        dtype, why, level = resolve_dtype(spec, seat.device_kind, Path(placement.data_dir))
    if recorder.rank == 0:
        recorder.note(why, level)
    return dtype


def _join(seat: Seat, breakdown: Breakdown) -> None:
    """Meet the other ranks. The shared-memory op stays off: DeepSpeed would compile it here for minutes, a killed
    build hangs every later one, and training never uses it (measured 2026-11)."""
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(
        "nccl" if seat.device_kind == "cuda" else "gloo",
        auto_mpi_discovery=False,
        verbose=False,
        timeout=timedelta(seconds=PEER_TIMEOUT_S),
    )
    if seat.device_kind == "cpu":
        gather_by_broadcasts(backends.cdb)
    collectives.watch(backends.cdb, breakdown)
    comm.barrier()


def _as_rank_0_chose(dtype: str, device: torch.device) -> str:
    """Nodes measure for themselves which number format is faster here; the run has one. Collective."""
    chosen = torch.tensor(DTYPES.index(dtype), device=device)
    comm.broadcast(chosen, 0)
    return DTYPES[int(chosen)]


@contextmanager
def _phase(recorder: Recorder, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    if recorder.rank == 0:
        recorder.phase(name, time.perf_counter() - start)

"""Start of a rank: from an attempt directory to a training session."""

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

import deepspeed
import torch
from deepspeed import comm
from deepspeed.comm import comm as backends

from engine.data import epochs, objectives
from engine.data.full_batch import use_full_batch
from engine.data.prepare import PreparedData, prepare
from engine.directory import AttemptDirectory, Placement, RankSeat
from engine.rank.bench import fabric_test
from engine.rank.checkpoint.async_save import CheckpointSaver
from engine.rank.checkpoint.position import RankPosition
from engine.rank.checkpoint.state import load_frozen
from engine.rank.measure import progress_log
from engine.rank.measure.breakdown import Breakdown
from engine.rank.measure.progress_log import ProgressLog
from engine.rank.measure.recorder import Recorder
from engine.rank.measure.timeline import choose_early_step
from engine.rank.measure.timers import build_timers
from engine.rank.measure.tracer import Tracer
from engine.rank.measure.wall_clock import WallClock
from engine.rank.model.loss import Loss
from engine.rank.parallel import collectives
from engine.rank.parallel.gloo_gather import replace_all_gather
from engine.rank.parallel.rendezvous import get_backend, open_process_group
from engine.rank.parallel.transfers import TransferTimes
from engine.rank.run.initial_state import (
    choose_dtype,
    choose_source,
    find_tokenizer,
    load_state,
    open_frozen_base,
)
from engine.rank.run.loop import train
from engine.rank.run.session import TrainingSession
from engine.rank.train.closure import ClosureTrainer
from engine.rank.train.divergence import DivergenceGuard
from engine.rank.train.engine import build_engine
from engine.rank.train.trainers import MicroBatches, PipelineTrainer, PlainTrainer
from engine.rank.train.update import Update
from engine.spec import checks
from engine.spec.spec import Spec
from engine.supervisor.hang_detection import DUMP_SIGNAL, PEER_TIMEOUT_S
from engine.telemetry.heartbeat import Heartbeat, Stage

# DeepSpeed 0.19.8 uses names that torch 2.13 has renamed; this code can change neither.
warnings.filterwarnings("ignore", r"`torch\.distributed\.", FutureWarning)


class StopFlag:
    """Set by SIGTERM; the loop reads it at step boundaries."""

    def __init__(self) -> None:
        self.is_set = False
        signal.signal(signal.SIGTERM, self._set)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor handles Ctrl-C

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True

    def __call__(self) -> bool:
        return self.is_set


def run_rank(directory: AttemptDirectory, rank: int, process_start_s: float) -> int:
    """Train as rank `rank` of the attempt and return the exit code.

    `process_start_s` is perf_counter() at the start of the process. Raises SpecError, ResumeError, OSError and the
    errors of torch and deepspeed.
    """
    stop = StopFlag()
    faulthandler.register(DUMP_SIGNAL, all_threads=True)  # in C, so it also works inside a stuck collective
    if directory.read_spec().kind == "fabric_test":
        return fabric_test.run(directory, rank, process_start_s, stop, _set_up_process)
    session = open_session(directory, rank, process_start_s)
    try:
        return train(session, stop).exit_code
    finally:
        session.recorder.close()


def open_session(directory: AttemptDirectory, rank: int, process_start_s: float) -> TrainingSession:
    """Prepare data, process group, engine and state up to the first step. Collective; raises as run_rank does."""
    started_at = time.monotonic()
    progress_log.configure()
    spec, placement = directory.read_spec(), directory.read_placement()
    seat = next(seat for seat in placement.seats if seat.rank == rank)
    recorder, heartbeat = Recorder(directory.spool, rank), Heartbeat(directory.path, rank)
    heartbeat.beat(0, Stage.DATA)
    clock = WallClock(process_start_s)
    clock.lap("imports")
    if rank == 0:
        recorder.phase("imports", time.perf_counter() - process_start_s)
    checks.refuse_impossible(spec, checks.Hardware(seat.device_kind))
    device = _set_up_process(placement, seat)

    with _record_phase(recorder, clock, "data"):
        tokens = _load_tokens(spec, placement, recorder)
        if spec.batch.full_batch:
            spec = use_full_batch(spec, tokens)
    with _record_phase(recorder, clock, "build"):
        heartbeat.beat(0, Stage.BUILD)
        transfers = TransferTimes(rank, device) if spec.parallel.stages > 1 else None
        breakdown = Breakdown(build_timers(seat.device_kind), transfers)
        _join_process_group(placement, seat, breakdown)
        source = choose_source(placement, recorder, heartbeat)
        dtype = choose_dtype(spec, seat, placement, source, recorder)
        # Dropout differs by stage and data rank. It is the same on tensor ranks, which replicate the residual stream.
        # Weights are initialised from their own seeds.
        torch.manual_seed(spec.seed * 1_000_003 + seat.stage * spec.parallel.data + seat.data_rank)
        loss = Loss(spec.optimiser.label_smoothing)
        guard = DivergenceGuard(spec)
        update = Update(spec.optimiser.gradient_clip, guard)
        base = open_frozen_base(source, spec, placement, heartbeat, seat.rank == 0)
        position = RankPosition.from_seat(seat, spec)
        engine, optimiser = build_engine(
            spec, dtype, seat.device_kind, loss, update,
            lambda model: load_frozen(model, base.weights, position) if base else None,
        )  # fmt: skip
        micro_batches = MicroBatches(spec, seat.data_rank, device, heartbeat)
        trainer = _trainer_class(spec)(spec, engine, loss, micro_batches, breakdown, update)
        heartbeat.beat(0, Stage.LONG)
        restored = load_state(source, engine, spec, dtype, position, placement, recorder)
        saver = CheckpointSaver(
            directory, engine, spec, dtype, position, recorder, tokens.folder, restored,
            base.reference if base else None,
        )  # fmt: skip
    progress = ProgressLog(rank, spec.budget.steps)
    _log_position(seat, spec, placement, dtype)
    last_step = min(placement.halt_at_step or spec.budget.steps, spec.budget.steps)
    early = choose_early_step(restored.step, last_step)
    tracer = Tracer(directory, placement.world_size, recorder, breakdown, heartbeat, early)
    return TrainingSession(
        directory, spec, dtype, device, started_at, restored, tokens, engine, optimiser, trainer, update, guard,
        breakdown, recorder, saver, heartbeat, progress, seat, tracer, clock, placement.halt_at_step,
    )  # fmt: skip


def _log_position(seat: RankSeat, spec: Spec, placement: Placement, dtype: str) -> None:
    device_text = f"{seat.device_kind} #{seat.device_index}, stage {seat.stage}, data rank {seat.data_rank}"
    device_text += f", tensor rank {seat.tensor_rank}" if spec.parallel.tensor > 1 else ""
    progress_log.log.info("rank %d of %d on %s; %s, %d threads", seat.rank, placement.world_size, device_text, dtype,
                     placement.threads_per_rank)  # fmt: skip


def _trainer_class(spec: Spec) -> type[PlainTrainer | PipelineTrainer]:
    if spec.parallel.stages > 1:
        return PipelineTrainer
    return ClosureTrainer if spec.optimiser.row.has_closure else PlainTrainer


def _set_up_process(placement: Placement, seat: RankSeat) -> torch.device:
    """Set the environment of DeepSpeed and torch.distributed (the supervisor sets MASTER_PORT); return the device."""
    values = {
        "RANK": seat.rank, "LOCAL_RANK": seat.local_rank, "WORLD_SIZE": placement.world_size,
        "MASTER_ADDR": placement.master_addr, "OMP_NUM_THREADS": placement.threads_per_rank,
    }  # fmt: skip
    if placement.master_port:
        os.environ.setdefault("MASTER_PORT", str(placement.master_port))
    os.environ.update({name: str(value) for name, value in values.items()})
    os.environ.pop("LOCAL_SIZE", None)  # with it DeepSpeed leaves 66 MiB per rank in /dev/shm
    torch.set_num_threads(placement.threads_per_rank)
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    if seat.device_kind == "cpu":
        return torch.device("cpu")
    torch.cuda.set_device(seat.local_rank)
    return torch.device("cuda", seat.local_rank)


def _load_tokens(spec: Spec, placement: Placement, recorder: Recorder) -> PreparedData:

    def report_progress(text: str) -> None:
        recorder.note(text)
        progress_log.log.info(text)

    roots = Path(placement.corpus_root), Path(placement.data_dir)
    tokens = prepare(spec.data, *roots, report_progress, tokenizer=find_tokenizer(spec, placement))
    objectives.refuse_unfit(spec, tokens)
    if recorder.rank == 0:
        recorder.note(
            f"Corpus {spec.data.corpus}: {len(tokens.train):,} {tokens.unit} to train on, "
            f"{len(tokens.validation):,} held out; licence {tokens.meta['licence']}."
        )
        recorder.note(*epochs.describe_prepared(spec, tokens))
    return tokens


def _join_process_group(placement: Placement, seat: RankSeat, breakdown: Breakdown) -> None:
    """Join the process group and let DeepSpeed use it. Collective.

    Disables DeepSpeed's shared-memory op: its compilation takes minutes, a killed build hangs every later one, and
    training never uses it (measured 2026-11).
    """
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    open_process_group(placement, seat)
    deepspeed.init_distributed(
        get_backend(seat), auto_mpi_discovery=False, verbose=False, timeout=timedelta(seconds=PEER_TIMEOUT_S)
    )
    if seat.device_kind == "cpu":
        replace_all_gather(backends.cdb)
    collectives.instrument(backends.cdb, breakdown)
    comm.barrier()


@contextmanager
def _record_phase(recorder: Recorder, clock: WallClock, name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    clock.lap(name)
    if recorder.rank == 0:
        recorder.phase(name, time.perf_counter() - start)
        recorder.clock(0, 0, *clock.take())

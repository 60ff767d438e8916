"""python -m engine.rank.run.forkserver SOCKET: a parent that has imported everything and forks supervisors and ranks.

A cold rank spends seconds on imports; a forked one starts with them done. The parent must stay fit for forking: no
threads, CUDA never touched. A request is one line, the attempt's directory; the answer is `ok <pid of its
supervisor>` or `error <why>`. Supervisors outlive this process, so an agent may restart it at will.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import msgspec

from engine.directory import AttemptDirectory, Seat
from engine.rank.run.exit_codes import EXIT_FAILED
from engine.supervisor.spawn import PR_SET_PDEATHSIG, Spawn, rank_log, start_child
from engine.supervisor.supervise import supervise

REQUEST_BYTES = 4096
REQUEST_TIMEOUT_S = 2.0

# What a rank would import only while it builds or takes its first step (found by comparing sys.modules).
LATE_MODULES = (
    "deepspeed.comm.mori",
    "deepspeed.module_inject.auto_ep_layer",
    "deepspeed.module_inject.auto_ep_comm",
    "deepspeed.moe.ep_count",
    "deepspeed.ops.op_builder.all_ops",
    "deepspeed.runtime.bf16_optimizer",
    "deepspeed.runtime.fp16.fused_optimizer",
    "deepspeed.runtime.fp16.unfused_optimizer",
    "deepspeed.runtime.pipe.engine",
    "deepspeed.runtime.state_dict_factory",
    "deepspeed.runtime.superoffload.superoffload_stage3",
    "deepspeed.runtime.zero.muon.muon_optimizer",
    "deepspeed.runtime.zero.stage3",
    "deepspeed.runtime.zero.stage_1_and_2",
    "numpy.random",
    "setuptools",
    "setuptools.config.pyprojecttoml",
    "distutils.ccompiler",  # of setuptools
    "tokenizers",
    "torch._dynamo",
    "torch._subclasses.schema_check_mode",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch.profiler._cupti_monitor",
    "torch.utils.serialization.config",
)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m engine.rank.run.forkserver SOCKET\n")
        return 2
    parent = os.getppid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it died before prctl was in force
        return 0
    preload(os.environ.get("DS_ACCELERATOR", "cpu"))
    path = Path(arguments[0])
    listener = listen(path)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        while os.getppid() == parent:
            _serve(listener)
    finally:
        # Only the process that bound the socket gets here: forked children leave through os._exit.
        path.unlink(missing_ok=True)
    return 0


def preload(device_kind: str) -> None:
    """Import all that a rank needs, for devices of one kind, and settle memory so that forks share it."""
    os.environ |= {"DS_ACCELERATOR": device_kind, "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    import torch

    from engine.rank.run.deepspeed_import import import_deepspeed

    import_deepspeed()
    import engine.rank.run.start  # noqa: F401

    for name in LATE_MODULES:
        importlib.import_module(name)
    torch.set_num_threads(
        1
    )  # no pool of threads here: a fork would inherit its locks and none of its threads
    # The first optimiser of a process takes 0.1 s more than the second.
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True)
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "a thread in a process that forks ranks"
    assert not torch.cuda.is_initialized(), "CUDA does not survive a fork"


def listen(path: Path) -> socket.socket:
    """A listening socket that only this user can reach. Raises OSError (path too long, folder not writable)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(16)
    listener.settimeout(1.0)  # so that a lost parent is noticed even without its death signal
    return listener


def fork_spawn(directory: AttemptDirectory) -> Spawn:
    """The warm way: a rank is a fork of its supervisor, which is a fork of the fork server."""

    def spawn(seat: Seat, environment: dict[str, str]) -> int:
        return start_child(
            rank_log(directory, seat.rank), lambda: _be_rank(directory, seat.rank, environment)
        )

    return spawn


def _be_rank(directory: AttemptDirectory, rank: int, environment: dict[str, str]) -> NoReturn:
    began = time.perf_counter()
    os.environ.clear()
    os.environ.update(environment)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    from engine.rank.run.start import run_rank

    _leave_with(lambda: run_rank(directory, rank, began))


def _leave_with(body: Callable[[], int]) -> NoReturn:
    """End a forked process with the body's exit code; nothing of the parent's clean-up may run in it."""
    code = EXIT_FAILED
    try:
        code = body()
    except BaseException:  # noqa: BLE001 - the copy of the parent's stack below must never go on
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _serve(listener: socket.socket) -> None:
    """Answer one request, or none within a second."""
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        return
    with connection:
        try:
            connection.settimeout(REQUEST_TIMEOUT_S)
            answer = f"ok {_start(_directory_of(_request(connection)), listener, connection)}"
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            answer = f"error {' '.join(str(error).split())}"
        try:
            connection.sendall(f"{answer}\n".encode())
        except OSError:
            return  # the asker has gone; the supervisor, if started, speaks through its directory


def _request(connection: socket.socket) -> str:
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        raise ValueError("another user's request")
    received = b""
    while not received.endswith(b"\n"):
        piece = connection.recv(REQUEST_BYTES)
        received += piece
        if not piece or len(received) > REQUEST_BYTES:
            raise ValueError(f"a request is one line of at most {REQUEST_BYTES} bytes")
    return received[:-1].decode()


def _directory_of(text: str) -> AttemptDirectory:
    """Raises ValueError for anything that is not an attempt directory with ranks for this parent's devices."""
    path = Path(text)
    if not path.is_absolute() or not (path / "placement.json").is_file():
        raise ValueError(f"{text!r} is not an attempt directory")
    directory = AttemptDirectory(path)
    kinds = {seat.device_kind for seat in directory.read_placement().seats}
    if kinds != {os.environ["DS_ACCELERATOR"]}:
        raise ValueError(
            f"this parent forks {os.environ['DS_ACCELERATOR']} ranks, not {', '.join(sorted(kinds))}"
        )
    return directory


def _start(directory: AttemptDirectory, *sockets: socket.socket) -> int:
    """Fork twice: the supervisor becomes nobody's child, so this parent has nothing to wait for. Returns its pid."""
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = os.fork()
        if pid == 0:
            _leave_with(lambda: _be_supervisor(directory, reading, writing, *(s.fileno() for s in sockets)))
        os.write(writing, struct.pack("i", pid))
        os._exit(0)
    os.close(writing)
    os.waitpid(middle, 0)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read(4)
    if len(answer) < 4:
        raise OSError("the supervisor could not be forked")
    return int(struct.unpack("i", answer)[0])


def _be_supervisor(directory: AttemptDirectory, *inherited: int) -> int:
    for descriptor in inherited:
        os.close(descriptor)
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    log = os.open(directory.log / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    return supervise(directory, fork_spawn(directory))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

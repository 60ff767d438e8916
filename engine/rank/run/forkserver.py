"""Fork server of supervisors with their ranks.

Command: python -m engine.rank.run.forkserver SOCKET

A cold rank spends seconds on imports; a forked rank starts with all modules imported. The fork server must have no
threads and must not initialise CUDA. A request is one line with the directory of the attempt; the answer is `ok <pid
of its supervisor>` or `error <reason>`. Supervisors outlive this process, so an agent can restart it at any time.
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

from engine.directory import AttemptDirectory, RankSeat
from engine.rank.run.exit_codes import EXIT_FAILED
from engine.supervisor.spawn import PR_SET_PDEATHSIG, Spawn, rank_log_path, start_child
from engine.supervisor.supervise import supervise

REQUEST_BYTES = 4096
REQUEST_TIMEOUT_S = 2.0

# Modules that a rank would import only during the build or its first step (found by comparing sys.modules).
DEFERRED_MODULES = (
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
    if os.getppid() != parent:  # the parent died before prctl took effect
        return 0
    preload(os.environ.get("DS_ACCELERATOR", "cpu"))
    path = Path(arguments[0])
    listener = listen(path)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        while os.getppid() == parent:
            _serve_request(listener)
    finally:
        # Only the process that bound the socket gets here: forked children exit through os._exit.
        path.unlink(missing_ok=True)
    return 0


def preload(device_kind: str) -> None:
    """Import every module that a rank of one device kind needs, and freeze the heap so that forks share it."""
    os.environ |= {"DS_ACCELERATOR": device_kind, "TORCHDYNAMO_DISABLE": "1", "OMP_NUM_THREADS": "1"}
    import torch

    from engine.rank.run.deepspeed_import import import_deepspeed

    import_deepspeed()
    import engine.rank.run.start  # noqa: F401

    for name in DEFERRED_MODULES:
        importlib.import_module(name)
    torch.set_num_threads(1)  # no thread pool: a fork would inherit its locks without its threads
    # The first optimiser of a process takes 0.1 s longer than the second.
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], fused=True)
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "the fork server has more than one thread"
    assert not torch.cuda.is_initialized(), "the fork server has initialised CUDA"


def listen(path: Path) -> socket.socket:
    """Open a listening socket that only this user can access. Raises OSError (path too long, folder not writable)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)
    listener.listen(16)
    listener.settimeout(1.0)  # a dead parent is noticed even without its death signal
    return listener


def build_fork_spawn(directory: AttemptDirectory) -> Spawn:
    """Return a spawn function that forks a rank from its supervisor, which is a fork of the fork server."""

    def spawn(seat: RankSeat, environment: dict[str, str]) -> int:
        return start_child(
            rank_log_path(directory, seat.rank), lambda: _become_rank(directory, seat.rank, environment)
        )

    return spawn


def _become_rank(directory: AttemptDirectory, rank: int, environment: dict[str, str]) -> NoReturn:
    process_start_s = time.perf_counter()
    os.environ.clear()
    os.environ.update(environment)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)
    from engine.rank.run.start import run_rank

    _exit_with(lambda: run_rank(directory, rank, process_start_s))


def _exit_with(body: Callable[[], int]) -> NoReturn:
    """Run `body` and exit a forked process with its exit code, without the parent's exit handlers."""
    code = EXIT_FAILED
    try:
        code = body()
    except BaseException:  # noqa: BLE001 - the copy of the parent's stack below must never continue
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _serve_request(listener: socket.socket) -> None:
    """Answer one request, or return after a second without one."""
    try:
        connection, _ = listener.accept()
    except TimeoutError:
        return
    with connection:
        try:
            connection.settimeout(REQUEST_TIMEOUT_S)
            answer = (
                f"ok {_fork_supervisor(_parse_directory(_read_request(connection)), listener, connection)}"
            )
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            answer = f"error {' '.join(str(error).split())}"
        try:
            connection.sendall(f"{answer}\n".encode())
        except OSError:
            return  # the client has disconnected; a started supervisor reports through its directory


def _read_request(connection: socket.socket) -> str:
    _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if user != os.getuid():
        raise ValueError("another user's request")
    received = b""
    while not received.endswith(b"\n"):
        chunk = connection.recv(REQUEST_BYTES)
        received += chunk
        if not chunk or len(received) > REQUEST_BYTES:
            raise ValueError(f"a request is one line of at most {REQUEST_BYTES} bytes")
    return received[:-1].decode()


def _parse_directory(text: str) -> AttemptDirectory:
    """Parse a request. Raises ValueError unless it is an attempt directory with ranks of this server's device kind."""
    path = Path(text)
    if not path.is_absolute() or not (path / "placement.json").is_file():
        raise ValueError(f"{text!r} is not an attempt directory")
    directory = AttemptDirectory(path)
    kinds = {seat.device_kind for seat in directory.read_placement().seats}
    if kinds != {os.environ["DS_ACCELERATOR"]}:
        raise ValueError(
            f"this fork server forks {os.environ['DS_ACCELERATOR']} ranks, not {', '.join(sorted(kinds))}"
        )
    return directory


def _fork_supervisor(directory: AttemptDirectory, *sockets: socket.socket) -> int:
    """Fork twice and return the pid of the supervisor, which is then no child of this process to wait for."""
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        pid = os.fork()
        if pid == 0:
            _exit_with(
                lambda: _become_supervisor(directory, reading, writing, *(s.fileno() for s in sockets))
            )
        os.write(writing, struct.pack("i", pid))
        os._exit(0)
    os.close(writing)
    os.waitpid(middle, 0)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read(4)
    if len(answer) < 4:
        raise OSError("the supervisor could not be forked")
    return int(struct.unpack("i", answer)[0])


def _become_supervisor(directory: AttemptDirectory, *inherited: int) -> int:
    for descriptor in inherited:
        os.close(descriptor)
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    log = os.open(directory.log / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    return supervise(directory, build_fork_spawn(directory))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

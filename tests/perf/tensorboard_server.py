"""TensorBoard from PyPI over event files, started as documented: `tensorboard --logdir FOLDER`."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import psutil

from jobs.imports.tfrecord import CRC32C
from tests.perf import peer_environment
from tests.perf.peer_server import PeerServer
from tests.running import free_port, wait_until

TENSORBOARD = "2.21.0"
EPOCH_S = 1_700_000_000
START_LIMIT_S = 120
FORM = "application/x-www-form-urlencoded"


@contextlib.contextmanager
def tensorboard_server(folder: Path) -> Iterator[PeerServer]:
    port = free_port()
    command = [
        str(peer_environment.peer_python().with_name("tensorboard")),
        "--logdir",
        str(folder),
        "--port",
        str(port),
    ]
    with open(folder / "server.log", "wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=output, start_new_session=True)
    try:
        wait_until(lambda: _answers(port), START_LIMIT_S, "tensorboard")
        yield PeerServer(port, psutil.Process(process.pid))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def fill_series(folder: Path, tag: str, series: Iterable[np.ndarray]) -> list[str]:
    """Write one event file per series, each in a folder of its own, which is a run."""
    runs = []
    for number, values in enumerate(series):
        runs.append(f"run{number}")
        (folder / runs[-1]).mkdir()
        version = np.frombuffer(b"\x1a\x0dbrain.Event:2", np.uint8)[None, :]
        file = folder / runs[-1] / f"events.out.tfevents.{EPOCH_S}.bench"
        file.write_bytes(_records(version) + _records(_events(tag.encode(), values)))
    return runs


def _events(tag: bytes, values: np.ndarray) -> np.ndarray:
    """Event(wall_time, step, summary=[value(tag, simple_value)]) of each step.

    Steps are varints of three bytes, so that all events have the same length and can be built and summed by column.
    """
    steps = np.arange(len(values))
    value = b"\x0a" + bytes([len(tag)]) + tag + b"\x15"
    heads = [b"\x09", None, b"\x10", None, bytes([0x2A, len(value) + 6, 0x0A, len(value) + 4]) + value, None]
    filled = iter((
        (EPOCH_S + steps).astype("<f8"),
        np.stack([steps & 0x7F | 0x80, steps >> 7 & 0x7F | 0x80, steps >> 14], axis=1).astype(np.uint8),
        values.astype("<f4"),
    ))  # fmt: skip
    columns = [
        np.tile(np.frombuffer(head, np.uint8), (len(steps), 1)) if head else _bytes(next(filled))
        for head in heads
    ]
    return np.concatenate(columns, axis=1)


def _records(bodies: np.ndarray) -> bytes:
    """Frames of records of the same length: length, its checksum, the body, its checksum."""
    number, size = bodies.shape
    lengths = _bytes(np.full(number, size, "<u8"))
    return np.concatenate([lengths, _checksums(lengths), bodies, _checksums(bodies)], axis=1).tobytes()


def _checksums(rows: np.ndarray) -> np.ndarray:
    table, crc = np.array(CRC32C, np.uint32), np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in rows.T:
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return _bytes((((crc >> 15) | (crc << 17)) + np.uint32(0xA282EAD8)).astype("<u4"))


def _bytes(column: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(column).view(np.uint8).reshape(len(column), -1)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/data/runs")
        return connection.getresponse().status == 200
    return False

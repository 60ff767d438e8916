"""TensorBoard event files, where each folder with event files is a run.

Scalars are read in both forms, simple_value and tensor.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jobs.imports import protobuf as pb
from jobs.imports.foreign import ForeignRun, ForeignStream, ImportRefused, as_time, metric_name
from jobs.series import Point

FILE_PATTERN = "*tfevents*"
RECORD_LIMIT_BYTES = 256 * 1024 * 1024
# Field numbers of Event, Summary.Value, SummaryMetadata and TensorProto.
EVENT_WALL_TIME, EVENT_STEP, EVENT_SUMMARY = 1, 2, 5
SUMMARY_VALUE = 1
VALUE_TAG, VALUE_SIMPLE, VALUE_TENSOR = 1, 2, 8
TENSOR_DTYPE, TENSOR_SHAPE, TENSOR_CONTENT = 1, 2, 4
# dtype -> (NumPy name, field number of single values, struct format)
DTYPES = {1: ("<f4", 5, "<f"), 2: ("<f8", 6, "<d"), 3: ("<i4", 7, ""), 9: ("<i8", 10, "")}


def runs(root: Path) -> Iterator[ForeignRun]:
    """Read all runs below a folder. Raises ImportRefused if it has no event file."""
    folders = sorted({path.parent for path in root.rglob(FILE_PATTERN) if path.is_file()})
    if not folders:
        raise ImportRefused(f"{root} contains no TensorBoard event file (*tfevents*).")
    for folder in folders:
        yield _read_run(root, folder)


def _read_run(root: Path, folder: Path) -> ForeignRun:
    """Read one folder as a run, named after the folder.

    Its key is the name of its first file, which holds time, host and process.
    """
    files = sorted(folder.glob(FILE_PATTERN))
    name = str(folder.relative_to(root)) if folder != root else root.resolve().name
    run = ForeignRun(key=f"tensorboard:{files[0].name}", origin="tensorboard", name=name)
    points_by_file = {path: list(_read_points(path, run.left_out)) for path in files}
    points_by_file = {path: points for path, points in points_by_file.items() if points}
    attempts = _attempt_numbers(list(points_by_file.values()))
    run.streams = [
        ForeignStream(attempt, path.name[:100], points)
        for attempt, (path, points) in zip(attempts, points_by_file.items(), strict=True)
    ]
    times = [point.at for points in points_by_file.values() for point in points]
    run.started_at, run.ended_at = as_time(min(times, default=None)), as_time(max(times, default=None))
    return run


def _attempt_numbers(files: list[list[Point]]) -> list[int]:
    """Attempt number of each file.

    A file whose steps go back in a metric of an earlier file is a restart of that writer. Restarts replace
    earlier points only if all writers restarted equally often; otherwise they would hide points of other
    writers.
    """
    writers: list[dict[str, int]] = []  # of each writer: metric -> its highest step
    restarts: list[int] = []
    attempts = []
    for points in files:
        lowest: dict[str, int] = {}
        highest: dict[str, int] = {}
        for point in points:
            step = point.step or 0
            lowest[point.metric] = min(step, lowest.get(point.metric, step))
            highest[point.metric] = max(step, highest.get(point.metric, step))
        writer = next((i for i, known in enumerate(writers) if known.keys() & highest.keys()), len(writers))
        if writer == len(writers):
            writers.append({})
            restarts.append(0)
        if any(step <= writers[writer].get(metric, step - 1) for metric, step in lowest.items()):
            restarts[writer] += 1
        for metric, step in highest.items():
            writers[writer][metric] = max(step, writers[writer].get(metric, step))
        attempts.append(restarts[writer] + 1)
    return attempts if len(set(restarts)) <= 1 else [1] * len(files)


def _read_points(path: Path, left_out: Counter[str]) -> Iterator[Point]:
    for number, record in enumerate(_read_records(path)):
        try:
            event = pb.parse_message(record)
            at = pb.as_double(event[EVENT_WALL_TIME][-1]) if EVENT_WALL_TIME in event else 0.0
            step = pb.as_int64(event[EVENT_STEP][-1]) if EVENT_STEP in event else 0
            for summary in event.get(EVENT_SUMMARY, []):
                for value in pb.parse_message(summary).get(SUMMARY_VALUE, []):
                    yield from _scalar_points(pb.parse_message(value), step, at, left_out)
        except (ValueError, struct.error) as error:
            raise ImportRefused(f"{path}: record {number} cannot be read: {error}.") from None


def _scalar_points(
    value: dict[int, list[pb.Value]], step: int, at: float, left_out: Counter[str]
) -> Iterator[Point]:
    if VALUE_TAG not in value:
        return
    tag = metric_name(pb.as_text(value[VALUE_TAG][-1]))
    if VALUE_SIMPLE in value:
        number: float | None = pb.as_float(value[VALUE_SIMPLE][-1])
    else:
        number = (
            _scalar_from_tensor(pb.parse_message(value[VALUE_TENSOR][-1])) if VALUE_TENSOR in value else None
        )
    if number is None:
        left_out[f"{tag} (no scalar)"] += 1
    else:
        yield Point(tag, "run", step, at, number)


def _scalar_from_tensor(tensor: dict[int, list[pb.Value]]) -> float | None:
    """The number in a tensor of one element; None for a histogram, an image or a text."""
    kind = DTYPES.get(pb.as_int64(tensor.get(TENSOR_DTYPE, [0])[-1]))
    if kind is None or (TENSOR_SHAPE in tensor and pb.parse_message(tensor[TENSOR_SHAPE][-1]).get(2)):
        return None
    dtype, field, form = kind
    if TENSOR_CONTENT in tensor:
        content = pb.as_bytes(tensor[TENSOR_CONTENT][-1])
        return float(np.frombuffer(content, dtype)[0]) if len(content) == np.dtype(dtype).itemsize else None
    if field not in tensor:
        return None
    raw = tensor[field][-1]
    if isinstance(raw, int):
        return float(pb.as_int64(raw))
    return float(struct.unpack(form, raw)[0]) if form and len(raw) == struct.calcsize(form) else None


def _read_records(path: Path) -> Iterator[bytes]:
    """TFRecord: length, its CRC, data, its CRC. A truncated end belongs to a live or killed writer and is skipped."""
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            size, crc = struct.unpack("<QI", head)
            if _masked_crc32c(head[:8]) != crc or size > RECORD_LIMIT_BYTES:
                raise ImportRefused(f"{path} is not an event file, or is damaged at byte {file.tell() - 12}.")
            body = file.read(size + 4)
            if len(body) < size + 4:
                return
            yield body[:size]


def _masked_crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC32C[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _crc32c_table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


CRC32C = _crc32c_table()

"""Binary formats of points: journal batches, raw columns, compressed columns."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import zstandard

from engine.telemetry.point_limits import NO_STEP, STEP_RULE, TIME_RULE

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

POINT_BYTES = 24
IS_SHARED = 1 << 31  # in the length of a batch's header
ZSTD_LEVEL = 3


class Point(NamedTuple):
    """One reading: a metric of a source ('run', 'rank<r>', 'device:<id>') at a unix time in seconds."""

    metric: str
    source: str
    step: int | None
    at: float
    value: float


class Columns(NamedTuple):
    """Points of one series, in the order of their arrival."""

    steps: Ints  # NO_STEP where there is none
    times_us: Ints
    values: Floats

    def only(self, chosen: slice | npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> Columns:
        return Columns(self.steps[chosen], self.times_us[chosen], self.values[chosen])


Key = tuple[str, str]  # metric, source


def non_finite_name(value: float) -> str:
    """The text that stands for a non-finite value in JSON and exports."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


_header = msgspec.msgpack.Decoder(list[tuple[str, str, int]])


def columns_by_key(points: Iterable[Point]) -> dict[Key, Columns]:
    """Raises ValueError for a time that is not finite or a step outside int64."""
    rows: dict[Key, tuple[list[int], list[float], list[float]]] = {}
    for metric, source, step, at, value in points:
        steps, times, values = rows.setdefault((metric, source), ([], [], []))
        steps.append(NO_STEP if step is None else step)
        times.append(at)
        values.append(value)
    return {key: _columns(*lists) for key, lists in rows.items()}


def _columns(steps: list[int], times: list[float], values: list[float]) -> Columns:
    times_us = np.rint(np.array(times, dtype="<f8") * 1e6)
    if not np.all(np.abs(times_us) < 2**62):
        raise ValueError(TIME_RULE)
    try:
        whole = np.array(steps, dtype="<i8")
    except OverflowError:
        raise ValueError(STEP_RULE) from None
    return Columns(whole, times_us.astype("<i8"), np.array(values, dtype="<f8"))


def encode_batch(groups: Mapping[Key, Columns]) -> bytes:
    """Header length, header [[metric, source, count], ...], then the raw columns of each group. If all groups share the
    same steps and times, as when one loop logs many metrics, the length is marked with IS_SHARED and these two columns
    are written once, before the columns of values: a third of the bytes."""
    header = msgspec.msgpack.encode([(m, s, len(columns.steps)) for (m, s), columns in groups.items()])
    all_columns = list(groups.values())
    if not _is_shared(all_columns):
        return b"".join([struct.pack("<I", len(header)), header, *map(pack, all_columns)])
    steps, times_us, _ = all_columns[0]
    size = struct.pack("<I", len(header) | IS_SHARED)
    values = (columns.values.tobytes() for columns in all_columns)
    return b"".join([size, header, steps.tobytes(), times_us.tobytes(), *values])


def _is_shared(groups: list[Columns]) -> bool:
    return len(groups) > 1 and all(
        one.steps is groups[0].steps and one.times_us is groups[0].times_us for one in groups
    )


def decode_batch(
    data: bytes, wanted: Callable[[str, str], bool] | None = None
) -> Iterator[tuple[Key, Columns]]:
    size = struct.unpack_from("<I", data)[0]
    offset = 4 + (size & ~IS_SHARED)
    groups = _header.decode(data[4:offset])
    if size & IS_SHARED:
        yield from _decode_shared(data, offset, groups, wanted)
        return
    for metric, source, count in groups:
        if wanted is None or wanted(metric, source):
            yield (metric, source), unpack(data, count, offset)
        offset += count * POINT_BYTES


def _decode_shared(
    data: bytes,
    offset: int,
    groups: list[tuple[str, str, int]],
    wanted: Callable[[str, str], bool] | None,
) -> Iterator[tuple[Key, Columns]]:
    count = groups[0][2]
    steps, times_us = (np.frombuffer(data, "<i8", count, offset + n * 8 * count) for n in range(2))
    for number, (metric, source, _) in enumerate(groups, start=2):
        if wanted is None or wanted(metric, source):
            values = np.frombuffer(data, "<f8", count, offset + number * 8 * count)
            yield (metric, source), Columns(steps, times_us, values)


def pack(columns: Columns) -> bytes:
    return b"".join(column.tobytes() for column in columns)


def unpack(data: bytes, count: int, offset: int = 0) -> Columns:
    return Columns(
        np.frombuffer(data, "<i8", count, offset),
        np.frombuffer(data, "<i8", count, offset + 8 * count),
        np.frombuffer(data, "<f8", count, offset + 16 * count),
    )


def compress(columns: Columns) -> bytes:
    """4.2 bytes a point instead of 24 for raw columns (loss, tokens/s, GPU %, watts; 4,096-point chunks)."""
    shuffled = b"".join(_shuffle(column.view("<i8")) for column in columns)
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(shuffled)


def decompress(data: bytes, count: int) -> Columns:
    raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=count * POINT_BYTES)
    steps, times_us, values = (_unshuffle(raw, count, 8 * count * i) for i in range(3))
    return Columns(steps, times_us, values.view("<f8"))


def concatenate(parts: list[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    return Columns(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _shuffle(column: Ints) -> bytes:
    """Wrapping differences, exact for any bits, then byte-shuffled: all first bytes, all second bytes, and so on."""
    deltas = column.copy()
    deltas[1:] -= column[:-1]
    return deltas.view(np.uint8).reshape(-1, 8).T.tobytes()


def _unshuffle(raw: bytes, count: int, offset: int) -> Ints:
    planes = np.frombuffer(raw, np.uint8, 8 * count, offset).reshape(8, count)
    return np.cumsum(np.ascontiguousarray(planes.T).view("<i8").ravel(), dtype="<i8")

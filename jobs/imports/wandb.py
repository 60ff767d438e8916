"""W&B offline runs.

A .wandb file is a log of protocol buffer records, split into blocks like LevelDB's log.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.request_limits import PARAM_CHARS
from jobs.imports import protobuf as pb
from jobs.imports.foreign import ForeignRun, ForeignStream, ImportRefused, as_time, as_value, metric_name
from jobs.series import Point
from jobs.tracking.params import as_text

MAGIC = b":W&B"
BLOCK_BYTES = 32 * 1024
HEADER_BYTES = 7  # CRC, length and type of a fragment
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
# Field numbers of Record and its submessages, as wandb 0.31.0 declares them.
HISTORY, STATS, CONFIG, RUN, EXIT = 2, 7, 4, 17, 18
ITEM_KEY, ITEM_NESTED, ITEM_JSON = 1, 2, 16
TYPED_READERS = {4: bool, 5: pb.as_int64, 6: pb.as_double, 7: pb.as_text}
PRIVATE_PREFIX = "_"  # of W&B's own keys: _step, _timestamp, _runtime, _wandb


def runs(root: Path) -> Iterator[ForeignRun]:
    """Read one .wandb file, or all of them below a folder. Raises ImportRefused if there is none."""
    files = [root] if root.is_file() else sorted(root.rglob("*.wandb"))
    if not files:
        raise ImportRefused(
            f"{root} contains no W&B run (*.wandb). Offline runs are in wandb/offline-run-*/."
        )
    for path in files:
        yield _read_run(path)


def _read_run(path: Path) -> ForeignRun:
    run = ForeignRun(key="", origin="wandb", name=path.stem, state="failed")
    config: dict[str, Any] = {}
    points: list[Point] = []
    ended: float | None = None
    for number, record in enumerate(_read_records(path)):
        try:
            fields = pb.parse_message(record)
            for message in fields.get(RUN, []):
                _add_run_record(run, pb.parse_message(message), config)
            for message in fields.get(CONFIG, []):
                config.update(_decode_items(pb.parse_message(message).get(1, [])))
            for message in fields.get(HISTORY, []):
                points += _history_points(pb.parse_message(message), run.left_out)
            for message in fields.get(STATS, []):
                points += _stats_points(pb.parse_message(message))
            for message in fields.get(EXIT, []):
                code = pb.parse_message(message).get(1, [0])[-1]
                run.state = "succeeded" if code == 0 else "failed"
        except (ValueError, struct.error) as error:
            raise ImportRefused(f"{path}: record {number} cannot be read: {error}.") from None
    if not run.key:
        raise ImportRefused(f"{path} does not name its run; its first records are missing.")
    if points:
        ended = max(point.at for point in points)
    run.ended_at = as_time(ended)
    run.params = {key: as_text(value)[:PARAM_CHARS] for key, value in _flatten(config)}
    run.streams = [ForeignStream(1, "import", points)]
    return run


def _add_run_record(run: ForeignRun, message: Mapping[int, list[pb.Value]], config: dict[str, Any]) -> None:
    texts = {number: pb.as_text(message[number][-1]) for number in (1, 3, 6, 8, 9) if number in message}
    run.project = texts.get(3, "")
    run.key = f"wandb:{run.project}:{texts.get(1, '')}"
    run.name = texts.get(8) or texts.get(1) or run.name
    run.note = texts.get(9, "")
    run.tags = {pb.as_text(tag): "" for tag in message.get(10, [])}
    if texts.get(6):
        run.tags["group"] = texts[6]
    for item in message.get(4, []):
        config.update(_decode_items(pb.parse_message(item).get(1, [])))
    for stamp in message.get(17, []):
        run.started_at = as_time(_seconds(stamp))


def _seconds(stamp: pb.Value) -> float:
    fields = pb.parse_message(stamp)
    return pb.as_int64(fields.get(1, [0])[-1]) + pb.as_int64(fields.get(2, [0])[-1]) / 1e9


def _decode_items(items: list[pb.Value]) -> dict[str, Any]:
    """Key -> value; nested keys are joined by dots."""
    items_by_key: dict[str, Any] = {}
    for item in items:
        fields = pb.parse_message(item)
        names = fields.get(ITEM_KEY) or fields.get(ITEM_NESTED, [])
        key = ".".join(pb.as_text(name) for name in names)
        if ITEM_JSON in fields:
            items_by_key[key] = json.loads(pb.as_text(fields[ITEM_JSON][-1]))
        for number, read in TYPED_READERS.items():
            if number in fields:
                items_by_key[key] = read(fields[number][-1])  # type: ignore[operator]
    return items_by_key


def _history_points(history: Mapping[int, list[pb.Value]], left_out: Counter[str]) -> list[Point]:
    row = _decode_items(history.get(1, []))
    step = row.get("_step")
    if step is None and 2 in history:
        step = pb.as_int64(pb.parse_message(history[2][-1]).get(1, [0])[-1])
    at = as_value(row.get("_timestamp")) or 0.0
    points = []
    for key in sorted(row):
        if key.startswith(PRIVATE_PREFIX):
            continue
        value = as_value(row[key])
        if value is None:
            left_out[f"{key.split('.')[0]} (no scalar)"] += 1
        else:
            points.append(Point(metric_name(key), "run", None if step is None else int(step), at, value))
    return points


def _stats_points(message: Mapping[int, list[pb.Value]]) -> list[Point]:
    """Host metrics under W&B's names, below system/; they have a time and no step."""
    at = _seconds(message[2][-1]) if 2 in message else 0.0
    items = {key: as_value(value) for key, value in _decode_items(message.get(3, [])).items()}
    return [
        Point(metric_name(f"system/{key}"), "run", None, at, items[key])  # type: ignore[arg-type]
        for key in sorted(items)
        if items[key] is not None
    ]


def _flatten(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key.startswith("_wandb") or value is None:
            continue
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, name)
        else:
            yield name, json.dumps(value) if isinstance(value, list | dict) else value


def _read_records(path: Path) -> Iterator[bytes]:
    """Complete records; a truncated end belongs to a killed run and is skipped.

    Raises ImportRefused for a wrong checksum before the end, which is damage.
    """
    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise ImportRefused(f"{path} is not a file of a W&B offline run.")
    offset, record = HEADER_BYTES, b""
    while offset < len(data):
        remaining = BLOCK_BYTES - offset % BLOCK_BYTES
        if remaining < HEADER_BYTES:
            offset += remaining
            continue
        if offset + HEADER_BYTES > len(data):
            return
        crc, size, kind = struct.unpack_from("<IHB", data, offset)
        body = data[offset + HEADER_BYTES : offset + HEADER_BYTES + size]
        if len(body) < size or kind == 0:
            return
        if zlib.crc32(bytes([kind]) + body) != crc:
            raise ImportRefused(f"{path} is damaged at byte {offset}.")
        record = body if kind in (FULL, FIRST) else record + body
        if kind in (FULL, LAST):
            yield record
        offset += HEADER_BYTES + size

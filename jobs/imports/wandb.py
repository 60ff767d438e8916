"""W&B's offline runs: the .wandb file is a log of records, in blocks as LevelDB's, each a protocol buffer."""

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
from jobs.imports.foreign import ForeignRun, ImportRefused, Part, as_time, as_value, metric_name
from jobs.series import Point
from jobs.tracking.params import as_text

MARK = b":W&B"
BLOCK = 32 * 1024
HEAD = 7  # CRC, length, type of a piece
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
# Numbers of the fields of Record and its parts, as wandb 0.31.0 declares them.
HISTORY, STATS, CONFIG, RUN, EXIT = 2, 7, 4, 17, 18
ITEM_KEY, ITEM_NESTED, ITEM_JSON = 1, 2, 16
TYPED = {4: bool, 5: pb.as_int64, 6: pb.as_double, 7: pb.as_text}
OWN = "_"  # keys of W&B itself: _step, _timestamp, _runtime, _wandb


def runs(root: Path) -> Iterator[ForeignRun]:
    """Of one .wandb file, or of every one below a folder. Raises ImportRefused where there is none."""
    files = [root] if root.is_file() else sorted(root.rglob("*.wandb"))
    if not files:
        raise ImportRefused(f"{root} holds no W&B run (*.wandb). Offline runs lie in wandb/offline-run-*/.")
    for path in files:
        yield _run(path)


def _run(path: Path) -> ForeignRun:
    run = ForeignRun(key="", origin="wandb", name=path.stem, state="failed")
    config: dict[str, Any] = {}
    points: list[Point] = []
    ended: float | None = None
    for number, record in enumerate(_records(path)):
        try:
            fields = pb.message(record)
            for told in fields.get(RUN, []):
                _about(run, pb.message(told), config)
            for told in fields.get(CONFIG, []):
                config.update(_items(pb.message(told).get(1, [])))
            for told in fields.get(HISTORY, []):
                points += _row(pb.message(told), run.left_out)
            for told in fields.get(STATS, []):
                points += _stats(pb.message(told))
            for told in fields.get(EXIT, []):
                code = pb.message(told).get(1, [0])[-1]
                run.state = "succeeded" if code == 0 else "failed"
        except (ValueError, struct.error) as error:
            raise ImportRefused(f"{path}: record {number} cannot be read: {error}.") from None
    if not run.key:
        raise ImportRefused(f"{path} does not say which run it is; its first records are missing.")
    if points:
        ended = max(point.at for point in points)
    run.ended_at = as_time(ended)
    run.params = {key: as_text(value)[:PARAM_CHARS] for key, value in _flat(config)}
    run.parts = [Part(1, "import", points)]
    return run


def _about(run: ForeignRun, told: Mapping[int, list[pb.Value]], config: dict[str, Any]) -> None:
    texts = {number: pb.as_text(told[number][-1]) for number in (1, 3, 6, 8, 9) if number in told}
    run.project = texts.get(3, "")
    run.key = f"wandb:{run.project}:{texts.get(1, '')}"
    run.name = texts.get(8) or texts.get(1) or run.name
    run.note = texts.get(9, "")
    run.tags = {pb.as_text(tag): "" for tag in told.get(10, [])}
    if texts.get(6):
        run.tags["group"] = texts[6]
    for part in told.get(4, []):
        config.update(_items(pb.message(part).get(1, [])))
    for stamp in told.get(17, []):
        run.started_at = as_time(_seconds(stamp))


def _seconds(stamp: pb.Value) -> float:
    fields = pb.message(stamp)
    return pb.as_int64(fields.get(1, [0])[-1]) + pb.as_int64(fields.get(2, [0])[-1]) / 1e9


def _items(items: list[pb.Value]) -> dict[str, Any]:
    """Key (nested ones joined by dots) -> value."""
    found: dict[str, Any] = {}
    for item in items:
        fields = pb.message(item)
        names = fields.get(ITEM_KEY) or fields.get(ITEM_NESTED, [])
        key = ".".join(pb.as_text(name) for name in names)
        if ITEM_JSON in fields:
            found[key] = json.loads(pb.as_text(fields[ITEM_JSON][-1]))
        for number, read in TYPED.items():
            if number in fields:
                found[key] = read(fields[number][-1])  # type: ignore[operator]
    return found


def _row(history: Mapping[int, list[pb.Value]], left_out: Counter[str]) -> list[Point]:
    row = _items(history.get(1, []))
    step = row.get("_step")
    if step is None and 2 in history:
        step = pb.as_int64(pb.message(history[2][-1]).get(1, [0])[-1])
    at = as_value(row.get("_timestamp")) or 0.0
    points = []
    for key in sorted(row):
        if key.startswith(OWN):
            continue
        value = as_value(row[key])
        if value is None:
            left_out[f"{key.split('.')[0]} (no scalar)"] += 1
        else:
            points.append(Point(metric_name(key), "run", None if step is None else int(step), at, value))
    return points


def _stats(told: Mapping[int, list[pb.Value]]) -> list[Point]:
    """The host's own figures, under W&B's names below system/; they have a time and no step."""
    at = _seconds(told[2][-1]) if 2 in told else 0.0
    items = {key: as_value(value) for key, value in _items(told.get(3, [])).items()}
    return [
        Point(metric_name(f"system/{key}"), "run", None, at, items[key])  # type: ignore[arg-type]
        for key in sorted(items)
        if items[key] is not None
    ]


def _flat(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key.startswith("_wandb") or value is None:
            continue
        name = f"{path}.{key}" if path else key
        if isinstance(value, Mapping) and value:
            yield from _flat(value, name)
        else:
            yield name, json.dumps(value) if isinstance(value, list | dict) else value


def _records(path: Path) -> Iterator[bytes]:
    """Whole records. A cut end is a run that was killed; a wrong checksum before the end is damage."""
    data = path.read_bytes()
    if data[:4] != MARK:
        raise ImportRefused(f"{path} is no file of W&B's offline runs.")
    at, gathered = HEAD, b""
    while at < len(data):
        room = BLOCK - at % BLOCK
        if room < HEAD:
            at += room
            continue
        if at + HEAD > len(data):
            return
        crc, size, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + HEAD : at + HEAD + size]
        if len(body) < size or kind == 0:
            return
        if zlib.crc32(bytes([kind]) + body) != crc:
            raise ImportRefused(f"{path} is damaged at byte {at}.")
        gathered = body if kind in (FULL, FIRST) else gathered + body
        if kind in (FULL, LAST):
            yield gathered
        at += HEAD + size

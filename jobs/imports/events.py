"""Records of a TensorBoard event file: scalars, parameters and restarts."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path

import numpy as np

from engine.telemetry.point_limits import time_error
from jobs.imports import hparams
from jobs.imports import protobuf as pb
from jobs.imports.foreign import ForeignWriter, ImportProblems
from jobs.imports.tfrecord import read_records

# Field numbers of Event, SessionLog, Summary.Value, SummaryMetadata and TensorProto.
EVENT_WALL_TIME, EVENT_STEP, EVENT_SUMMARY, EVENT_SESSION_LOG = 1, 2, 5, 7
NOT_READ = {4: "graphs", 6: "log messages", 8: "run metadata", 9: "graphs"}
LOG_STATUS, LOG_START = 1, 1
SUMMARY_VALUE = 1
VALUE_TAG, VALUE_SIMPLE, VALUE_TENSOR, VALUE_METADATA = 1, 2, 8, 9
METADATA_PLUGIN, PLUGIN_NAME, PLUGIN_CONTENT = 1, 1, 2
TENSOR_DTYPE, TENSOR_SHAPE, TENSOR_CONTENT = 1, 2, 4
SHAPE_DIM, SHAPE_UNKNOWN_RANK = 2, 3
# dtype -> (NumPy name of tensor_content, field number of single values, struct format of these)
DTYPES = {
    1: ("<f4", 5, "<f"),
    2: ("<f8", 6, "<d"),
    3: ("<i4", 7, ""),
    4: ("<u1", 7, ""),
    5: ("<i2", 7, ""),
    6: ("<i1", 7, ""),
    9: ("<i8", 10, ""),
    10: ("<u1", 11, ""),
    17: ("<u2", 7, ""),
    19: ("<f2", 13, "half"),
    22: ("<u4", 16, ""),
    23: ("<u8", 17, "unsigned"),
}
LEFT_OUT_NAMES = 1000  # distinct names that are counted one by one
PROBLEMS_A_FILE = 20


class _EventReader:
    """Adds the events of one file to a writer."""

    def __init__(self, writer: ForeignWriter, session: hparams.Session, left_out: Counter[str]) -> None:
        self.writer, self.session, self.left_out = writer, session, left_out
        self.last_at = writer.started_at or 0.0
        self.plugins: dict[str, str] = {}  # tag -> plugin; only a tag's first value names it

    def add(self, record: bytes) -> None:
        """Raises ValueError."""
        event = pb.parse_message(record)
        at = pb.as_double(event[EVENT_WALL_TIME][-1]) if EVENT_WALL_TIME in event else self.last_at
        if not time_error(at):
            self.last_at = at
        step = pb.as_int64(event[EVENT_STEP][-1]) if EVENT_STEP in event else 0
        for number, name in NOT_READ.items():
            if number in event:
                self.left_out[name] += 1
        for log in event.get(EVENT_SESSION_LOG, []):
            if pb.parse_message(log).get(LOG_STATUS, [0])[-1] == LOG_START:
                self.writer.purge(step)
        for summary in event.get(EVENT_SUMMARY, []):
            for value in pb.parse_message(summary).get(SUMMARY_VALUE, []):
                self._add_value(pb.parse_message(value), step, at)

    def _add_value(self, value: pb.Message, step: int, at: float) -> None:
        tag = pb.last_text(value, VALUE_TAG)
        if VALUE_METADATA in value:
            metadata = pb.parse_message(value[VALUE_METADATA][-1])
            plugin = pb.parse_message(metadata.get(METADATA_PLUGIN, [b""])[-1])
            self.plugins.setdefault(tag, pb.last_text(plugin, PLUGIN_NAME))
            if self.plugins[tag] == hparams.PLUGIN:
                self.session.read(plugin.get(PLUGIN_CONTENT, [b""])[-1])
                return
        if VALUE_SIMPLE in value:
            number: float | None = pb.as_float(value[VALUE_SIMPLE][-1])
        elif VALUE_TENSOR in value and self.plugins.get(tag, "scalars") in ("scalars", ""):
            number = _scalar_from_tensor(pb.parse_message(value[VALUE_TENSOR][-1]))
        else:
            number = None
        if number is None:
            name = tag if len(self.left_out) < LEFT_OUT_NAMES else "other tags"
            self.left_out[f"{name} (no scalar)"] += 1
        else:
            self.writer.add(tag, step, at, number)


def read_events(
    path: Path,
    writer: ForeignWriter,
    session: hparams.Session,
    left_out: Counter[str],
    problems: ImportProblems,
) -> None:
    """Add what is sound in a file; the rest becomes problems."""
    reader = _EventReader(writer, session, left_out)
    refused = 0
    try:
        for number, record in enumerate(read_records(path, problems)):
            try:
                reader.add(record)
            except (ValueError, struct.error, OverflowError) as error:
                refused += 1
                if refused <= PROBLEMS_A_FILE:
                    problems.add(path, f"holds record {number}, which cannot be read: {error}")
    except OSError as error:
        problems.add(path, f"cannot be read: {error.strerror}")
    if refused > PROBLEMS_A_FILE:
        problems.add(path, f"holds {refused - PROBLEMS_A_FILE:,} more records that cannot be read")


def _scalar_from_tensor(tensor: pb.Message) -> float | None:
    """The number in a tensor without dimensions; None for a histogram, an image or a text."""
    kind = DTYPES.get(pb.as_int64(tensor.get(TENSOR_DTYPE, [0])[-1]))
    if kind is None or (TENSOR_SHAPE in tensor and SHAPE_DIM in pb.parse_message(tensor[TENSOR_SHAPE][-1])):
        return None
    dtype, field, form = kind
    if TENSOR_CONTENT in tensor:
        content = pb.as_bytes(tensor[TENSOR_CONTENT][-1])
        return float(np.frombuffer(content, dtype)[0]) if len(content) == np.dtype(dtype).itemsize else None
    if field not in tensor:
        return None
    raw = tensor[field][-1]
    if form in ("<f", "<d"):
        content = pb.as_bytes(raw)
        return float(struct.unpack(form, content)[0]) if len(content) == struct.calcsize(form) else None
    whole = pb.first_packed(raw)
    if form == "half":
        return float(np.uint16(whole & 0xFFFF).view(np.float16))
    return float(whole & (2**64 - 1) if form == "unsigned" else whole)

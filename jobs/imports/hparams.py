"""Parameters that TensorBoard's HParams plugin stores in event files.

Field numbers: tensorboard/plugins/hparams/plugin_data.proto and google/protobuf/struct.proto.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from jobs.imports import protobuf as pb
from jobs.tracking.params import as_text

PLUGIN = "hparams"
SESSION_START, SESSION_END = 3, 4  # of HParamsPluginData; 2 describes the columns of all sessions
START_VALUES, START_GROUP, START_TIME = 1, 4, 5
END_STATUS, END_TIME = 1, 2
NULL, NUMBER, TEXT, BOOL, STRUCT, LIST = 1, 2, 3, 4, 5, 6  # of Value
STATES = {1: "succeeded", 2: "failed", 3: "running"}
VALUE_DEPTH = 20


@dataclass
class Session:
    """What the plugin's records of one folder hold."""

    params: dict[str, str] = field(default_factory=dict)
    group: str = ""
    state: str = ""
    started_at: float | None = None
    ended_at: float | None = None

    def read(self, content: pb.Value) -> None:
        """Add a record. Raises ValueError."""
        data = pb.parse_message(content)
        for message in data.get(SESSION_START, []):
            start = pb.parse_message(message)
            for entry in start.get(START_VALUES, []):
                pair = pb.parse_message(entry)
                value = _value(pair[2][-1], 0) if 2 in pair else None
                self.params[pb.last_text(pair, 1)] = _text(value)
            self.group = pb.last_text(start, START_GROUP) or self.group
            if START_TIME in start:
                self.started_at = pb.as_double(start[START_TIME][-1])
        for message in data.get(SESSION_END, []):
            end = pb.parse_message(message)
            self.state = STATES.get(pb.as_int64(end.get(END_STATUS, [0])[-1]), "")
            if END_TIME in end:
                self.ended_at = pb.as_double(end[END_TIME][-1])


def _value(data: pb.Value, depth: int) -> object:
    """A value of JSON. Raises ValueError."""
    if depth > VALUE_DEPTH:
        raise ValueError(f"a value is nested deeper than {VALUE_DEPTH} levels")
    message = pb.parse_message(data)
    if NUMBER in message:
        return pb.as_double(message[NUMBER][-1])
    if TEXT in message:
        return pb.as_text(message[TEXT][-1])
    if BOOL in message:
        return bool(message[BOOL][-1])
    if STRUCT in message:
        pairs = [pb.parse_message(entry) for entry in pb.parse_message(message[STRUCT][-1]).get(1, [])]
        return {pb.last_text(pair, 1): _value(pair.get(2, [b""])[-1], depth + 1) for pair in pairs}
    if LIST in message:
        return [_value(item, depth + 1) for item in pb.parse_message(message[LIST][-1]).get(1, [])]
    return None


def _text(value: object) -> str:
    """As a person would type it; the plugin keeps every number as a float."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return json.dumps(value) if isinstance(value, dict | list) else as_text(value)

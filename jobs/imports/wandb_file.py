"""One .wandb file: the records of one process of a W&B run.

Field numbers: wandb/proto/wandb_internal.proto of wandb 0.12.21, 0.16.6 and 0.31.0, which agree.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.telemetry.point_limits import time_error
from jobs.imports import protobuf as pb
from jobs.imports.foreign import ForeignWriter, ImportProblems, as_value
from jobs.imports.wandb_items import apply_update, decode_items, flatten, split_media
from jobs.imports.wandb_log import read_records

# Record
HISTORY, SUMMARY, OUTPUT, CONFIG, STATS, METRIC, OUTPUT_RAW, RUN, EXIT = 2, 3, 4, 5, 7, 12, 13, 17, 18
NOT_READ = {
    4: "console lines",
    6: "files",
    8: "artefacts",
    9: "TensorBoard folders",
    10: "alerts",
    13: "console lines",
    23: "preemption notices",
    24: "artefact links",
    25: "used artefacts",
    27: "console lines",
}
INTERNAL = {1, 11, 16, 19, 20, 21, 22, 26, 100, 200}  # numbering, telemetry, control, machine
# RunRecord
RUN_ID, RUN_ENTITY, RUN_PROJECT, RUN_CONFIG, RUN_SUMMARY, RUN_GROUP, RUN_JOB_TYPE, RUN_NAME, RUN_NOTES = (
    range(1, 10)
)
RUN_TAGS, RUN_SWEEP, RUN_STARTING_STEP, RUN_START_TIME, RUN_GIT = 10, 12, 14, 17, 21
TEXTS = (RUN_ID, RUN_ENTITY, RUN_PROJECT, RUN_GROUP, RUN_JOB_TYPE, RUN_NAME, RUN_NOTES, RUN_SWEEP)
# MetricRecord
METRIC_NAME, METRIC_GLOB, METRIC_X, METRIC_X_INDEX = 1, 2, 4, 5
PROBLEMS_A_FILE = 20
LEFT_OUT_NAMES = 1000


class WandbFile:
    """The content of a file, read record by record."""

    def __init__(self, path: Path, problems: ImportProblems) -> None:
        self.path, self.problems = path, problems
        self.writer = ForeignWriter(path.name)
        self.texts: dict[int, str] = {}
        self.labels: list[str] = []
        self.git: dict[str, str] = {}
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.axes: dict[str, str] = {}  # metric or pattern -> the metric that define_metric() made its x axis
        self.exit_code: int | None = None
        self.started_at: float | None = None
        self.next_step = 0
        self.last_at: float | None = None
        self.last_values: dict[str, Any] = {}  # key -> its newest logged value, None for media
        self.left_out: Counter[str] = Counter()
        self.num_records = self.num_rows = 0
        self._metrics: list[str] = []
        self._refused = 0

    def read(self) -> None:
        """Read what is sound; the rest becomes problems."""
        for number, record in enumerate(read_records(self.path, self.problems)):
            self.num_records += 1
            try:
                self._add(pb.parse_message(record))
            except (ValueError, struct.error, OverflowError, RecursionError, OSError) as error:
                self._refuse(f"holds record {number}, which cannot be read: {error}")
        if self._refused > PROBLEMS_A_FILE:
            more = self._refused - PROBLEMS_A_FILE
            self.problems.add(self.path, f"holds {more:,} more things that cannot be read")
        self.writer.report_refused(self.problems, self.path)

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if self._refused <= PROBLEMS_A_FILE:
            self.problems.add(self.path, reason)

    def _add(self, record: pb.Message) -> None:
        readers: dict[int, Callable[[pb.Message], None]] = {
            RUN: self._add_run,
            CONFIG: lambda message: apply_update(self.config, message),
            SUMMARY: lambda message: apply_update(self.summary, message),
            HISTORY: self._add_row,
            STATS: self._add_stats,
            METRIC: self._add_metric,
            EXIT: self._add_exit,
        }
        for number, messages in record.items():
            if number in NOT_READ:
                self.left_out[NOT_READ[number]] += len(messages)
            elif number in readers:
                for message in messages:
                    readers[number](pb.parse_message(message))
            elif number not in INTERNAL:
                self.left_out[f"records of kind {number}"] += len(messages)

    def _add_run(self, message: pb.Message) -> None:
        for number in TEXTS:
            if text := pb.last_text(message, number):
                self.texts[number] = text
        if RUN_TAGS in message:
            self.labels = [pb.as_text(tag) for tag in message[RUN_TAGS]]
        if RUN_STARTING_STEP in message and not self.num_rows:
            self.next_step = pb.as_int64(message[RUN_STARTING_STEP][-1])
        if RUN_START_TIME in message:
            self.started_at = seconds(message[RUN_START_TIME][-1])
        for git in message.get(RUN_GIT, []):
            fields = pb.parse_message(git)
            for number, name in ((1, "git.remote"), (2, "git.commit")):
                if text := pb.last_text(fields, number):
                    self.git[name] = text
        for number, values in ((RUN_CONFIG, self.config), (RUN_SUMMARY, self.summary)):
            for record in message.get(number, []):
                apply_update(values, pb.parse_message(record))

    def _add_exit(self, message: pb.Message) -> None:
        self.exit_code = pb.as_int64(message.get(1, [0])[-1])

    def _add_metric(self, message: pb.Message) -> None:
        name = pb.last_text(message, METRIC_NAME) or pb.last_text(message, METRIC_GLOB)
        self._metrics.append(name)
        axis = pb.last_text(message, METRIC_X)
        place = pb.as_int64(message.get(METRIC_X_INDEX, [0])[-1])
        if not axis and 0 < place <= len(self._metrics):
            axis = self._metrics[place - 1]
        if name and axis and axis != "_step" and len(self.axes) < LEFT_OUT_NAMES:
            self.axes[name] = axis

    def _add_row(self, history: pb.Message) -> None:
        row, media = split_media(dict(decode_items(history.get(1, []))))
        step, at = self._step(row, history), self._time(row)
        self.num_rows += 1
        for name in media:
            self._leave_out(name)
        for key in sorted(row):
            if key.startswith("_"):
                continue
            for name, leaf in flatten(row[key], key):
                if (value := as_value(leaf)) is not None:
                    self.last_values[name] = leaf
                    self.writer.add(name, step, at, value)
                else:
                    self._leave_out(name)
                    self.last_values[name] = leaf if isinstance(leaf, str) else None

    def _leave_out(self, name: str) -> None:
        self.last_values[name] = None
        counted = f"{name.split('.')[0]} (no scalar)"
        known = counted in self.left_out or len(self.left_out) < LEFT_OUT_NAMES
        self.left_out[counted if known else "other keys (no scalar)"] += 1

    def _step(self, row: Mapping[str, Any], history: pb.Message) -> int | None:
        """The step of a row. A row without one gets the number behind the row before it."""
        given = row.get("_step")
        if given is None and 2 in history:
            given = pb.as_int64(pb.parse_message(history[2][-1]).get(1, [0])[-1])
        step = self.next_step
        if isinstance(given, int | float) and not isinstance(given, bool) and given == given // 1:
            step = int(given)
        elif given is not None:
            self._refuse(f"holds a row whose `_step` is {str(given)[:80]!r}; it is numbered {step}")
        self.next_step = step + 1
        return step

    def _time(self, row: Mapping[str, Any]) -> float:
        """The time of a row. One without it has the run's start plus its `_runtime`, else the time before it."""
        at, runtime = as_value(row.get("_timestamp")), as_value(row.get("_runtime"))
        if at is not None and time_error(at):
            self._refuse(f"holds a row whose `_timestamp` is {at:g}; it gets the time before it")
        elapsed = None if runtime is None or self.started_at is None else self.started_at + runtime
        for known in (at, elapsed, self.last_at, self.started_at):
            if known is not None and not time_error(known):
                self.last_at = known
                return known
        return self.path.stat().st_mtime

    def _add_stats(self, message: pb.Message) -> None:
        """Host metrics under W&B's names, below system/; they have a time and no step."""
        at = seconds(message[2][-1]) if 2 in message else self._time({})
        for key, value in sorted(decode_items(message.get(3, [])), key=lambda item: item[0]):
            for name, leaf in flatten(value, key):
                if (number := as_value(leaf)) is not None:
                    self.writer.add(f"system/{name}", None, at, number)
                else:
                    self.left_out[f"system/{name} (no scalar)"] += 1


def seconds(stamp: pb.Value) -> float:
    """Unix time of a Timestamp message."""
    fields = pb.parse_message(stamp)
    return pb.as_int64(fields.get(1, [0])[-1]) + pb.as_int64(fields.get(2, [0])[-1]) / 1e9


def identify(path: Path, problems: ImportProblems) -> tuple[str, str, str] | None:
    """(entity, project, id) of the run that a file belongs to; None if it does not name one."""
    for record in read_records(path, problems):
        try:
            for message in pb.parse_message(record).get(RUN, []):
                fields = pb.parse_message(message)
                found = [pb.last_text(fields, number) for number in (RUN_ENTITY, RUN_PROJECT, RUN_ID)]
                if found[2]:
                    return found[0], found[1], found[2]
        except ValueError:
            continue
    return None

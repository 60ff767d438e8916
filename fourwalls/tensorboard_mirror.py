"""Scalars that a script writes with TensorBoard's writers, logged with the current run too."""

from __future__ import annotations

import importlib
import importlib.util
import logging
from typing import Any

from fourwalls import current

# module and class whose add_event() every scalar passes
WRITERS = (
    ("tensorboard.summary.writer.event_file_writer", "EventFileWriter"),
    ("tensorboardX.event_file_writer", "EventFileWriter"),
)

log = logging.getLogger("fourwalls")
_mirrored: set[type] = set()


def start() -> None:
    """Mirror the writers that are installed; a repeated call changes nothing."""
    found = [_mirror(module, name) for module, name in WRITERS]
    if not any(found):
        log.warning(
            "sync_tensorboard: neither tensorboard nor tensorboardX is installed; nothing is mirrored."
        )


def _mirror(module_name: str, name: str) -> bool:
    package = module_name.partition(".")[0]
    try:
        if importlib.util.find_spec(package) is None:
            return False
        writer = getattr(importlib.import_module(module_name), name)
    except Exception as error:  # noqa: BLE001 - an installation that does not load must not end training
        log.warning("sync_tensorboard: %s cannot be mirrored: %r", package, error)
        return False
    if writer in _mirrored:
        return True
    _mirrored.add(writer)
    add_event = writer.add_event

    def add_and_log(self: Any, event: Any, *values: Any, **named: Any) -> Any:
        result = add_event(self, event, *values, **named)
        _log_event(event)
        return result

    writer.add_event = add_and_log
    return True


def _log_event(event: Any) -> None:
    """Log the scalars of an event at its step."""
    run = current.run()
    if run is None:
        return
    try:
        row = {}
        for value in event.summary.value:
            number = _read_scalar(value)
            if number is not None:
                row[value.tag] = number
        if row:
            run.log(row, step=int(event.step))
    except Exception as error:  # noqa: BLE001 - as above
        log.debug("A TensorBoard event was not mirrored: %r", error)


def _read_scalar(value: Any) -> Any:
    """The number of a value of an event; None for images and texts."""
    if value.HasField("simple_value"):
        return value.simple_value
    if value.HasField("tensor") and value.metadata.plugin_data.plugin_name in ("scalars", ""):
        tensor = value.tensor
        for numbers in (tensor.float_val, tensor.double_val, tensor.int_val):
            if len(numbers) == 1:
                return numbers[0]
        if len(tensor.tensor_content) == 4:
            import struct

            return struct.unpack("<f", tensor.tensor_content)[0]
    return None

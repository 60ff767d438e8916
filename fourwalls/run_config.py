"""Configuration of a run, readable by attribute and by item, and updatable."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Optional

log = logging.getLogger("fourwalls")
Sender = Callable[[dict[str, Any]], None]


class Config(MutableMapping[str, Any]):
    """`config["lr"]`, `config.lr`, `config.update({...})`. A value that is set later replaces the earlier one, here and
    at the server. Names that Python reserves for methods are read by item."""

    def __init__(self, values: Any = None, send: Optional[Sender] = None) -> None:
        object.__setattr__(self, "_values", read_config(values))
        object.__setattr__(self, "_send", send)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __delitem__(self, name: str) -> None:
        del self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"The configuration has no {name!r}.") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __delattr__(self, name: str) -> None:
        self._values.pop(name, None)

    def __repr__(self) -> str:
        return repr(self._values)

    def update(self, values: Any = None, allow_val_change: Any = None, **more: Any) -> None:  # type: ignore[override]
        """Add or change values; of a mapping, namespace, dataclass, or any object with attributes."""
        del allow_val_change
        new = read_config(values) | more
        self._values.update(new)
        if self._send and new:
            self._send(new)

    def setdefaults(self, values: Any) -> None:
        """Add the values whose names are new."""
        self.update({key: value for key, value in read_config(values).items() if key not in self._values})

    def as_dict(self) -> dict[str, Any]:
        return dict(self._values)

    def clear(self) -> None:
        self._values.clear()


def read_config(values: Any) -> dict[str, Any]:
    """The items of a mapping, namespace, dataclass, absl's flags, or the path of a YAML or JSON file; {} for anything
    else, and with a warning for what cannot be read."""
    try:
        return _read_config(values)
    except Exception as error:  # noqa: BLE001 - a configuration must not end training
        log.warning("A configuration of type %s is not read: %r", type(values).__name__, error)
        return {}


def _read_config(values: Any) -> dict[str, Any]:
    if values is None:
        return {}
    if isinstance(values, Config):
        return values.as_dict()
    if isinstance(values, Mapping):
        return {_name(key): value for key, value in values.items()}
    if isinstance(values, (str, Path)):
        return _read_file(Path(values))
    if dataclasses.is_dataclass(values) and not isinstance(values, type):
        return {field.name: getattr(values, field.name) for field in dataclasses.fields(values)}
    for method in ("flag_values_dict", "to_dict", "model_dump", "_asdict"):
        if not isinstance(values, type) and callable(found := getattr(values, method, None)):
            return {_name(key): value for key, value in found().items()}
    attributes = getattr(values, "__dict__", None)
    if isinstance(attributes, Mapping):
        return {_name(key): value for key, value in attributes.items()}
    return {}


def _name(key: Any) -> str:
    try:
        return str(key)
    except Exception:  # noqa: BLE001 - as above
        return f"<{type(key).__name__}>"


def _read_file(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError:
        import yaml  # of the script's environment

        found = yaml.safe_load(text)
    items = found if isinstance(found, Mapping) else {}
    return {
        str(key): value["value"] if isinstance(value, Mapping) and set(value) <= {"value", "desc"} and "value" in value
        else value
        for key, value in items.items()
    }  # fmt: skip

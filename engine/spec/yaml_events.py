"""Refusal of YAML that costs too much or says one thing twice, event by event."""

from __future__ import annotations

from dataclasses import dataclass, field

import yaml

from engine.request_limits import SPEC_DEPTH
from engine.spec.problems import Problem, SpecError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML is built with it


@dataclass
class _Collection:
    path: str
    is_mapping: bool
    lines: dict[str, int] = field(default_factory=dict)  # key -> its line
    key: str | None = None  # whose value comes next
    index: int = 0


def refuse_bad_yaml(text: str | bytes) -> None:
    """Raises SpecError for aliases, deep nesting and keys that one mapping has twice, at the first event that breaks
    the rule, and yaml.YAMLError. YAML's readers keep the last of two values without a word."""
    try:
        _check_events(text)
    except yaml.YAMLError:
        for _ in yaml.parse(
            text, Loader=yaml.SafeLoader
        ):  # libyaml names the end of the mistake, this its place
            pass
        raise


def _check_events(text: str | bytes) -> None:
    open_collections: list[_Collection] = []
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise SpecError([Problem("", "YAML aliases (*name) are not allowed in a spec.")])
        if isinstance(event, yaml.CollectionEndEvent):
            open_collections.pop()
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            path = _enter(open_collections[-1], event) if open_collections else ""
            if isinstance(event, yaml.CollectionStartEvent):
                open_collections.append(_Collection(path, isinstance(event, yaml.MappingStartEvent)))
                if broken := SPEC_DEPTH.error(len(open_collections)):
                    raise SpecError([Problem("", broken)])


def _enter(parent: _Collection, event: yaml.NodeEvent) -> str:
    """The path of a node in its parent. A scalar in a key's place is a key."""
    if not parent.is_mapping:
        parent.index += 1
        return f"{parent.path}[{parent.index - 1}]"
    path = f"{parent.path}.{parent.key}" if parent.path else str(parent.key)
    if parent.key is not None:
        parent.key = None
        return path
    if not isinstance(event, yaml.ScalarEvent):
        parent.key = ""  # a collection as a key: the reader refuses it
        return parent.path
    assert event.start_mark is not None  # of a text
    line = event.start_mark.line + 1
    path = f"{parent.path}.{event.value}" if parent.path else event.value
    if first := parent.lines.get(event.value):
        where = f"in line {line}" if first == line else f"in lines {first} and {line}"
        sentence = f"'{path[:200]}' occurs twice, {where}. Remove one of them."
        raise SpecError([Problem(path[:200], sentence)])
    parent.lines[event.value], parent.key = line, event.value
    return parent.path

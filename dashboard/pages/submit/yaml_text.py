"""Edits of single values in a YAML text.

The rest of the text, comments included, stays as it was typed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from engine.request_limits import SPEC_BYTES
from engine.spec.problems import SpecError
from engine.spec.yaml_events import LOADER, refuse_bad_yaml


def with_value(text: str, path: str, value: Any) -> str | None:
    """Return the text with the scalar at a dotted path replaced or added; None if that is not possible in place."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        changed = _edited(text, root, path.split("."), value) if isinstance(root, yaml.MappingNode) else None
        return changed if changed is not None and _holds(changed, path, value) else None
    except yaml.YAMLError:
        return None


def lines_of(text: str, paths: Iterable[str]) -> dict[str, int | None]:
    """The line (from 1) on which the field at each dotted path, or its nearest parent, stands; of a text that is no
    YAML, the line of the mistake. The text is read once: a read of 64 KiB takes a fifth of a second."""
    paths = set(paths)
    if not paths or len(text) > SPEC_BYTES:
        return dict.fromkeys(paths)
    try:
        refuse_bad_yaml(text)
        root = yaml.compose(text, Loader=LOADER)
    except SpecError:
        return dict.fromkeys(paths)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return dict.fromkeys(paths, mark.line + 1 if mark else None)
    return {path: _line(root, path) for path in paths}


def _line(node: yaml.Node | None, path: str) -> int | None:
    line = None
    for name in path.split("."):
        pair = _pair(node, name)
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line


def scalar_text(value: Any) -> str:
    """Return a value as YAML in one line."""
    return (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
        .removesuffix("...\n")
        .strip()
    )


def _pair(node: yaml.Node | None, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((pair for pair in node.value if pair[0].value == name), None)


def _edited(text: str, node: yaml.MappingNode, names: list[str], value: Any) -> str | None:
    pair = _pair(node, names[0])
    if pair is None:
        return _added(text, node, names, value)
    if len(names) > 1:
        return _edited(text, pair[1], names[1:], value) if isinstance(pair[1], yaml.MappingNode) else None
    start, end = pair[1].start_mark.index, pair[1].end_mark.index
    gap = " " if start == end else ""  # `layers:` without a value
    return text[:start] + gap + scalar_text(value) + text[end:]


def _added(text: str, node: yaml.MappingNode, names: list[str], value: Any) -> str | None:
    """Add the field on a new line after the last one of its block."""
    if node.flow_style or not node.value:
        return None
    indent = node.value[0][0].start_mark.column
    tail = node.value[-1][1]
    while isinstance(tail, yaml.MappingNode) and tail.value:
        tail = tail.value[-1][1]
    line_end = text.find("\n", tail.end_mark.index)
    at = len(text) if line_end < 0 else line_end
    lines = [f"{' ' * (indent + 2 * depth)}{name}:" for depth, name in enumerate(names)]
    return f"{text[:at]}\n" + "\n".join(lines) + f" {scalar_text(value)}" + text[at:]


def _holds(text: str, path: str, value: Any) -> bool:
    found = yaml.safe_load(text)
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return found == value or (found != found and value != value)  # NaN is not equal to itself

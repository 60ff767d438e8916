"""Reference of all environment variables (docs/settings.md)."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.conf import settings

from dashboard.server.env import VARIABLES, Variable

PACKAGES = ("engine", "jobs", "dashboard", "fourwalls")

# Read outside dashboard/settings.py: by code that runs without Django.
OTHER_VARIABLES = (
    Variable("HOST", "text", "127.0.0.1", "Address that `manage.py up` listens on."),
    Variable("PORT", "whole number", "8000", "Port that `manage.py up` listens on."),
    Variable("TRAINER_PYTHON", "path", "this interpreter", "Python that runs ranks and probes."),
    Variable("FOURWALLS_CPU_DEVICES", "whole number", "2", "CPU devices of a node without GPUs."),
    Variable("FOURWALLS_MACHINE_ID", "text", "/etc/machine-id, else a file in the node's folder",
             "Identity of the machine for joining and of its CPU devices."),
    Variable("FOURWALLS_FORK_SERVER", "flag", "1", "Start ranks from a pre-forked process, 0.5 s to the first step."),
    Variable("FOURWALLS_BUILD_LIMIT_S", "number", "900", "Longest build of the engine without progress.", "s"),
    Variable("FOURWALLS_FIRST_STEP_LIMIT_S", "number", "600", "Longest first step.", "s"),
    Variable("FOURWALLS_HUNG_AFTER_S", "number", "120", "Longest time without progress in a step.", "s"),
    Variable("FOURWALLS_SAVE_LIMIT_S", "number", "1800", "Longest save, load or validation.", "s"),
    Variable("FOURWALLS_URL", "text", "http://127.0.0.1:8000", "Client: address of the server."),
    Variable("FOURWALLS_TOKEN", "text", "", "Client: token of a person or a team."),
    Variable("FOURWALLS_MODE", "text", "online", "Client: online, offline or disabled."),
    Variable("FOURWALLS_DIR", "path", "fourwalls-runs", "Client: folder of the spool."),
    Variable("FOURWALLS_RUN_ID", "text", "", "Client: id of the run, shared by the ranks of one launch."),
    Variable("FOURWALLS_FINISH_S", "number", "30", "Client: how long finish() waits for the server.", "s"),
    Variable("FOURWALLS_SILENT", "flag", "0", "Client: print nothing to the terminal."),
    Variable("FOURWALLS_SYSTEM_METRICS", "flag", "1", "Client: read the machine."),
    Variable("FOURWALLS_SYSTEM_S", "number", "2", "Client: interval between readings of the machine; 0: none.", "s"),
    Variable("FOURWALLS_FSYNC_S", "number", "5", "Client: how much of the log a power cut may take.", "s"),
)  # fmt: skip
# Set by the supervisor for its ranks, not by people.
INTERNAL = ("FOURWALLS_ATTEMPT",)


def render_reference() -> str:
    """Render docs/settings.md."""
    readers = _find_readers()
    return (
        "# Settings\n\n"
        "Every environment variable that Fourwalls reads. `manage.py settings` makes this page; a test compares them.\n"
        "Paths may be relative; an empty value counts as unset. Settings of pools and teams are on their pages.\n\n"
        "## Server and nodes\n\n"
        + _table(VARIABLES.values(), readers)
        + "\n## Command line, ranks and client\n\n"
        + _table(OTHER_VARIABLES, readers)
    )


def _table(rows: Iterable[Variable], readers: dict[str, set[str]]) -> str:
    lines = ["| variable | default | unit | meaning | read by |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        default = f"`{row.default}`" if row.default and " " not in row.default else row.default
        lines.append(
            f"| `{row.name}` | {default} | {row.unit} | {row.meaning} | {', '.join(sorted(readers[row.name]))} |"
        )
    return "\n".join(lines) + "\n"


def _find_readers() -> dict[str, set[str]]:
    """Return variable -> packages that read it, directly or as an attribute of the settings."""
    by_setting = _settings_by_variable()
    found: dict[str, set[str]] = defaultdict(set)
    for path, tree in _sources():
        package = _package_of(path)
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "settings"
            ):
                for variable in by_setting.get(node.attr, ()):
                    found[variable].add(package)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_variable(node.value):
                found[node.value].add(package)
    for variable in VARIABLES:
        found[variable] = found[variable] or {"Django"}
    for row in OTHER_VARIABLES:  # the client builds the names of its variables
        found[row.name] = found[row.name] or {"fourwalls"}
    return found


def variables_in_source() -> set[str]:
    """Return the names of variables that are string constants in the source."""
    return {
        node.value
        for _, tree in _sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_variable(node.value)
    }


def _is_variable(text: str) -> bool:
    known = {row.name for row in OTHER_VARIABLES}
    return text in known or bool(re.fullmatch(r"FOURWALLS_[A-Z_]*[A-Z]", text))


def _sources() -> Iterator[tuple[Path, ast.Module]]:
    root = Path(settings.BASE_DIR)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            relative = path.relative_to(root)
            if (
                relative.parts[-1] not in ("settings.py", "settings_reference.py")
                and "migrations" not in relative.parts
            ):
                yield relative, ast.parse(path.read_text())


def _package_of(path: Path) -> str:
    return "/".join(path.parts[:2]) if len(path.parts) > 2 else path.parts[0]


def _settings_by_variable() -> dict[str, set[str]]:
    """Return attribute of the settings -> variables named in its assignment."""
    tree = ast.parse((Path(settings.BASE_DIR) / "dashboard" / "settings.py").read_text())
    found: dict[str, set[str]] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names = {
                constant.value
                for constant in ast.walk(node.value)
                if isinstance(constant, ast.Constant) and constant.value in VARIABLES
            }
            for target in node.targets:
                if isinstance(target, ast.Name) and names:
                    found[target.id] = names
    return found

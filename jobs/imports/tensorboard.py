"""TensorBoard event files, where each folder with event files is a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from jobs.imports.events import read_events
from jobs.imports.files import StoreFiles
from jobs.imports.foreign import (
    ForeignRun,
    ForeignWriter,
    ImportProblems,
    ImportRefused,
    as_time,
    clean_text,
)
from jobs.imports.hparams import Session
from jobs.imports.tfrecord import read_records

MARK = "tfevents"  # in the name of every event file
EMPTY_SUFFIX = ".profile-empty"  # a marker of the profiler, without data
SESSION_TAG, HEAD_BYTES = b"_hparams_/session_start_info", 64 * 1024
NAME = re.compile(r"tfevents\.(\d{9,11})\.")


def runs(root: Path, problems: ImportProblems) -> Iterator[ForeignRun]:
    """Read all runs below a folder. Raises ImportRefused if it has no event file."""
    files = StoreFiles(root, problems)
    found = {root.parent: [root]} if root.is_file() else _folders(files, root)
    if not found:
        raise ImportRefused(f"{root} contains no TensorBoard event file (*tfevents*).")
    sessions = _session_folders(found)
    read: dict[Path, ForeignRun] = {}  # sessions that turned out to be runs of their own
    keys: dict[Path, str] = {}
    merged: set[Path] = set()
    for folder in found:
        if folder in merged:
            continue
        run = read.pop(folder, None) or _read_run(root, folder, found[folder], problems)
        if len(below := sessions.get(folder, [])) == 1:
            session = _read_run(root, below[0], found[below[0]], problems)
            if _belongs_to(run, session):
                merged.add(below[0])
                _add_session(run, session)
            else:
                read[below[0]] = session
        if sessions.get(folder):
            keys[folder] = run.key
        if run.params and folder.parent in keys:
            run.parent_key = keys[folder.parent]
        yield run


def _folders(files: StoreFiles, root: Path) -> dict[Path, list[Path]]:
    found = {}
    for folder, paths in files.walk(root):
        events = [path for path in paths if MARK in path.name and not path.name.endswith(EMPTY_SUFFIX)]
        if events:
            found[folder] = events
    return found


def _session_folders(found: dict[Path, list[Path]]) -> dict[Path, list[Path]]:
    """Folder -> the folders directly below it that add_hparams() made."""
    below: dict[Path, list[Path]] = {}
    for folder, paths in found.items():
        if folder.parent in found and any(_begins_with_session(path) for path in paths):
            below.setdefault(folder.parent, []).append(folder)
    return below


def _begins_with_session(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return SESSION_TAG in file.read(HEAD_BYTES)
    except OSError:
        return False


def _belongs_to(run: ForeignRun, session: ForeignRun) -> bool:
    """Whether the only session below a run was made for it: it adds the parameters and at most one point of a metric.
    Several sessions are runs of their own."""
    is_single = all(len(points) == 1 for writer in session.writers for points in writer.series.values())
    return bool(session.params) and not run.params and is_single


def _read_run(root: Path, folder: Path, paths: list[Path], problems: ImportProblems) -> ForeignRun:
    """Read one folder as a run, named after the folder.

    Names of event files hold a second and a host and are not unique, so the key holds the folder's name and the first
    record, and a stored run is the same only if it shares points.
    """
    name = str(folder.relative_to(root)) if root.is_dir() and folder != root else folder.resolve().name
    ordered = sorted(paths, key=_order)
    run = ForeignRun(key="", origin="tensorboard", name=clean_text(name), is_by_content=True)
    run.key = f"tensorboard:{_fingerprint(ordered[0])}:{run.name}"
    run.former_keys = (f"tensorboard:{min(paths).name}", f"tensorboard:{_digest(b'')}:{run.name}")
    session = Session()
    for path in ordered:
        writer = ForeignWriter(path.name, _second(path))
        read_events(path, writer, session, run.left_out, problems)
        writer.report_refused(problems, path)
        run.writers.append(writer)
    span = run.span_us()
    first, last = (end / 1e6 for end in span) if span else (_second(ordered[0]), None)
    run.started_at, run.ended_at = as_time(first), as_time(last)
    _apply(run, session)
    return run


def _apply(run: ForeignRun, session: Session) -> None:
    run.params |= session.params
    run.state = session.state or run.state
    if session.group:
        run.tags["group"] = session.group
    run.started_at = run.started_at or as_time(session.started_at)
    run.ended_at = run.ended_at or as_time(session.ended_at)


def _add_session(run: ForeignRun, session: ForeignRun) -> None:
    """Add what add_hparams() wrote into a folder of its own to the run that called it."""
    run.params |= session.params
    run.tags |= session.tags
    run.writers += session.writers
    run.left_out += session.left_out
    run.state = session.state
    if session.ended_at and (run.ended_at is None or session.ended_at > run.ended_at):
        run.ended_at = session.ended_at


def _order(path: Path) -> tuple[float, list[tuple[int, str]]]:
    """By the second in the name, then by the numbers behind it."""
    parts = [(int(part), "") if part.isdigit() else (-1, part) for part in path.name.split(".")]
    return _second(path) or 0.0, parts


def _second(path: Path) -> float | None:
    found = NAME.search(path.name)
    return float(found[1]) if found else None


def _fingerprint(path: Path) -> str:
    """A digest of the first record, which holds the time of the file's creation in microseconds."""
    try:
        return _digest(next(read_records(path, ImportProblems()), b""))
    except OSError:
        return _digest(b"")


def _digest(record: bytes) -> str:
    return blake2b(record, digest_size=8).hexdigest()

"""MLflow stores: a folder mlruns/ of text files, or an SQLite file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.imports.files import StoreFiles
from jobs.imports.foreign import ForeignRun, ForeignWriter, ImportProblems, ImportRefused, as_time
from jobs.imports.mlflow_run import build_run
from jobs.imports.mlflow_sqlite import read_sqlite
from jobs.imports.plain_yaml import PlainYamlError, load_plain_yaml

META, TRASH = "meta.yaml", ".trash"
META_BYTES = 64 * 1024
METRIC_BYTES = 1024 * 1024 * 1024
PROBLEMS_A_FILE = 5
# Folders of a run whose content has no place here
NOT_READ = {"artifacts": "artefacts", "inputs": "data sets", "outputs": "models"}


def runs(root: Path, problems: ImportProblems) -> Iterator[ForeignRun]:
    """Read all runs of a store, which is a folder of experiments or MLflow's SQLite file. Raises ImportRefused."""
    if root.is_file():
        yield from read_sqlite(root, problems)
        return
    files = StoreFiles(root, problems)
    parents = [(root, False), (root / TRASH, True)]
    if (root / META).is_file() and not _is_run(root):  # one experiment of a store
        found = [(root, False)]
    else:
        found = [
            (folder, in_trash)
            for parent, in_trash in parents
            for folder in files.scan(parent)[0]
            if folder.name != TRASH and any(path.name == META for path in files.scan(folder)[1])
        ]
    if not found:
        raise ImportRefused(
            f"{root} is not an MLflow store: it has no */meta.yaml and is not an SQLite file."
        )
    for folder, in_trash in found:
        yield from _runs_of(folder, in_trash, files, problems)


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("metrics", "params", "tags"))


def _runs_of(
    folder: Path, in_trash: bool, files: StoreFiles, problems: ImportProblems
) -> Iterator[ForeignRun]:
    """The runs of one experiment."""
    meta, _ = _read_meta(folder / META, files, problems)
    is_deleted = in_trash or meta.get("lifecycle_stage") == "deleted"
    for path in files.scan(folder)[0]:
        if any(file.name == META for file in files.scan(path)[1]):
            yield _read_run(path, str(meta.get("name") or ""), is_deleted, files, problems)
        elif _is_run(path):
            problems.add(path, "has no meta.yaml; its run is not read")


def _read_meta(path: Path, files: StoreFiles, problems: ImportProblems) -> tuple[dict[str, Any], str]:
    """(values, what is wrong with the file)."""
    try:
        loaded = load_plain_yaml(files.read_text(path, META_BYTES))
    except ImportRefused as error:
        problems.add(str(error), "")
        return {}, "cannot be read"
    except PlainYamlError as error:
        problems.add(path, f"cannot be read: {error}")
        return {}, "cannot be read"
    if not loaded:
        problems.add(path, "is empty")
        return {}, "is empty"
    if not isinstance(loaded, dict):
        problems.add(path, "is not a mapping")
        return {}, "is not a mapping"
    return loaded, ""


def _read_run(
    folder: Path, project: str, in_deleted: bool, files: StoreFiles, problems: ImportProblems
) -> ForeignRun:
    meta, wrong = _read_meta(folder / META, files, problems)
    tags = _read_texts(folder / "tags", files, problems)
    uuid = meta.get("run_id") or meta.get("run_uuid") or folder.name
    fields = meta | {"run_uuid": uuid, "name": meta.get("run_name")}
    run = build_run(fields, project, tags, in_deleted=in_deleted)
    if wrong:
        run.unknown_state = f"{META} {wrong}."
        run.started_at = as_time((folder / META).stat().st_mtime)
    run.params = {
        name: text.strip("\n") for name, text in _read_texts(folder / "params", files, problems).items()
    }
    writer = ForeignWriter("metrics")
    for name, path in _list_named(folder / "metrics", files):
        _read_points(path, name, writer, problems)
    writer.report_refused(problems, folder)
    run.writers.append(writer)
    for name, counted in NOT_READ.items():
        if (folder / name).is_symlink():
            run.left_out[f"{counted} behind a link"] += 1
        elif (folder / name).is_dir() and (count := sum(1 for _ in files.below(folder / name))):
            run.left_out[counted] += count
    return run


def _list_named(folder: Path, files: StoreFiles) -> list[tuple[str, Path]]:
    """(name, path) of all files below a folder; a slash in a name makes it a folder on disk."""
    if folder.is_symlink():
        files.scan(folder.parent)  # a problem if it leads outside
        return []
    return sorted((path.relative_to(folder).as_posix(), path) for path in files.below(folder))


def _read_texts(folder: Path, files: StoreFiles, problems: ImportProblems) -> dict[str, str]:
    found = {}
    for name, path in _list_named(folder, files):
        try:
            found[name] = files.read_text(path)
        except ImportRefused as error:
            problems.add(str(error), "")
    return found


def _read_points(path: Path, name: str, writer: ForeignWriter, problems: ImportProblems) -> None:
    """One point per line: `timestamp value [step [name and digest of a data set]]`."""
    refused = width = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(4096), b""), 1):
                fields = line.decode("utf-8", "replace").rstrip("\r\n").split(" ")
                is_cut = not line.endswith(b"\n") and len(fields) < width
                width = max(width, len(fields))
                try:
                    if len(fields) not in (2, 3, 5) or is_cut:
                        raise ValueError
                    step = int(fields[2]) if len(fields) > 2 else 0
                    writer.add(name, step, int(fields[0]) / 1000, float(fields[1]))
                except (ValueError, OverflowError):
                    refused += 1
                    if refused <= PROBLEMS_A_FILE:
                        text = " ".join(fields)[:80]
                        problems.add(f"{path}, line {number}:", f"'{text}' is not an MLflow metric")
    except OSError as error:
        problems.add(path, f"cannot be read: {error.strerror}")
    if refused > PROBLEMS_A_FILE:
        problems.add(path, f"holds {refused - PROBLEMS_A_FILE:,} more lines that are not MLflow metrics")

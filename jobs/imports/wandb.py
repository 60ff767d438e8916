"""W&B offline runs: files of one id are one run, as when a run is resumed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.imports import wandb_file as fields
from jobs.imports.files import StoreFiles
from jobs.imports.foreign import (
    ForeignRun,
    ForeignWriter,
    ImportProblems,
    ImportRefused,
    as_time,
    as_value,
    earliest,
    metric_name,
)
from jobs.imports.wandb_file import WandbFile, identify
from jobs.imports.wandb_items import TOO_LARGE, flatten, flatten_params, split_media
from jobs.tracking.params import as_text

SUFFIX = ".wandb"
Identity = tuple[str, str, str]  # entity, project, id


def runs(root: Path, problems: ImportProblems) -> Iterator[ForeignRun]:
    """Read one .wandb file, or all of them below a folder. Raises ImportRefused if there is none."""
    store = StoreFiles(root, problems)
    files = [root] if root.is_file() else [path for path in store.below(root) if path.name.endswith(SUFFIX)]
    if not files:
        raise ImportRefused(
            f"{root} contains no W&B run (*.wandb). Offline runs are in wandb/offline-run-*/."
        )
    by_run: dict[Identity, list[Path]] = {}
    for path in files:
        if (identity := _identify(path, problems)) is not None:
            by_run.setdefault(identity, []).append(path)
    for identity, paths in by_run.items():
        yield _read_run(identity, paths, problems)


def _identify(path: Path, problems: ImportProblems) -> Identity | None:
    quiet = ImportProblems()
    if (identity := identify(path, quiet)) is not None:
        return identity
    file = WandbFile(path, problems)
    file.read()
    if file.num_records:
        problems.add(path, "does not name its run; its first records are missing")
    elif not quiet.count:
        problems.add(path, "holds no records")
    return None


def _read_run(identity: Identity, paths: list[Path], problems: ImportProblems) -> ForeignRun:
    entity, project, run_id = identity
    files = []
    for path in paths:
        file = WandbFile(path, problems)
        file.read()
        files.append(file)
    files.sort(key=lambda file: (file.started_at or 0.0, str(file.path)))
    former = f"wandb:{project}:{run_id}"
    run = ForeignRun(
        key=f"wandb:{entity}/{project}:{run_id}" if entity else former,
        origin="wandb",
        name=run_id,
        project=project,
        former_keys=(former,) if entity else (),
        started_at=earliest(as_time(file.started_at) for file in files),
    )
    config: dict[str, Any] = {}
    for file in files:
        _add_file(run, file)
        config |= file.config
    for name, value in flatten_params(config):
        if value is TOO_LARGE:
            run.left_out[f"parameter {name} (too large)"] += 1
        else:
            run.params[name] = as_text(value)
    _add_state(run, files)
    _add_summary(run, files)
    return run


def _add_file(run: ForeignRun, file: WandbFile) -> None:
    texts = file.texts
    run.name = texts.get(fields.RUN_NAME, run.name)
    run.note = texts.get(fields.RUN_NOTES, run.note)
    run.tags |= dict.fromkeys(file.labels, "") | file.git
    for number, name in (
        (fields.RUN_ENTITY, "entity"),
        (fields.RUN_GROUP, "group"),
        (fields.RUN_JOB_TYPE, "job_type"),
        (fields.RUN_SWEEP, "sweep"),
    ):
        if number in texts:
            run.tags[name] = texts[number]
    for name, axis in file.axes.items():
        run.tags[f"x_axis:{name}"] = axis
        run.left_out[f"x axis of {name} ({axis}; charts draw it by step)"] += 1
    run.writers.append(file.writer)
    run.left_out += file.left_out


def _add_state(run: ForeignRun, files: list[WandbFile]) -> None:
    code = files[-1].exit_code
    run.state = "succeeded" if code == 0 else "failed"
    if code is None:
        run.unknown_state = "The file has no exit record: the run was killed, or is still running."
    span = run.span_us()
    run.ended_at = as_time(span[1] / 1e6) if span else run.started_at


def _add_summary(run: ForeignRun, files: list[WandbFile]) -> None:
    """Keep the summary values that no history holds, as one point each at the end of the run."""
    summary: dict[str, Any] = {}
    logged: dict[str, Any] = {}
    for file in files:
        summary |= file.summary
        logged |= file.last_values
    ends = [file.last_at or file.started_at for file in files]
    at = max((end for end in ends if end is not None), default=0.0)
    steps = [file.next_step - 1 for file in files if file.num_rows]
    writer = ForeignWriter("summary")
    taken = {key for other in run.writers for key in other.series}
    summary, media = split_media(summary)
    for name in sorted(media - logged.keys()):
        run.left_out[f"summary of {name} (no scalar)"] += 1
    for key, value in summary.items():
        if key.startswith("_"):
            continue
        for name, leaf in flatten(value, key):
            if name in logged and (
                leaf == logged[name] or _are_equal(as_value(leaf), as_value(logged[name]))
            ):
                continue
            if (number := as_value(leaf)) is not None:
                is_taken = metric_name(name) in taken
                writer.add(f"summary/{name}" if is_taken else name, max(steps, default=0), at, number)
            elif isinstance(leaf, str):
                run.tags[f"summary.{name}"] = leaf
            elif name not in logged:
                run.left_out[f"summary of {name} (no scalar)"] += 1
    if writer.series:
        run.writers.append(writer)


def _are_equal(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and (one == other or (math.isnan(one) and math.isnan(other)))

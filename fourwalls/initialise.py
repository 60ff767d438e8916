"""Start of a run from a script."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional, Union

from fourwalls import current, description, launch, options
from fourwalls.run_config import read_config
from fourwalls.run_object import Run
from fourwalls.throttled_log import ThrottledLog

RESUMED = ("auto", True, "true", "True")
FROM_ENVIRONMENT = (  # of W&B's clients, where the argument and FOURWALLS_* are missing
    ("project", "WANDB_PROJECT"),
    ("name", "WANDB_NAME"),
    ("id", "WANDB_RUN_ID"),
    ("mode", "WANDB_MODE"),
    ("folder", "WANDB_DIR"),
    ("note", "WANDB_NOTES"),
    ("group", "WANDB_RUN_GROUP"),
    ("job_type", "WANDB_JOB_TYPE"),
    ("team", "WANDB_ENTITY"),
    ("tags", "WANDB_TAGS"),
    ("resume", "WANDB_RESUME"),
)
IGNORED_WITHOUT_WARNING = ("settings", "allow_val_change", "force", "anonymous", "magic")

log = logging.getLogger("fourwalls")
_warnings = ThrottledLog()


def init(
    project: Optional[str] = None,
    name: Optional[str] = None,
    config: Any = None,
    *,
    id: Any = None,
    join: bool = False,
    tags: Union[Mapping[str, Any], list[str], tuple[str, ...], None] = None,
    note: Optional[str] = None,
    parent: Optional[str] = None,
    mode: Optional[str] = None,
    url: Optional[str] = None,
    token: Optional[str] = None,
    folder: Union[str, os.PathLike[str], None] = None,
    system_metrics: Optional[bool] = None,
    console: Optional[bool] = None,
    team: Optional[str] = None,
    group: Optional[str] = None,
    job_type: Optional[str] = None,
    resume: Any = None,
    reinit: Any = None,
    sync_tensorboard: bool = False,
    save_code: Optional[bool] = None,
    **others: Any,
) -> Run:
    """Start a run; `config` becomes its parameters.

    With `id` (1 to 64 letters, digits, '_', '.' and '-'; another text becomes one), continue that run if there is one:
    repeated steps replace the old ones, or with `join` this is one more writer. Every rank of a launch calls this; rank
    0 logs as the run, the others as rank<N>. With `system_metrics` False the machine is not read, with `console` False
    the output is not kept. `notes`, `dir` and `entity`, as W&B's client calls them, are note, folder and team. While a
    run is active, a call that names nothing returns it; `reinit` ends it first. Never raises.
    """
    given = {"project": project, "name": name, "config": config, "id": id, "join": join, "tags": tags, "note": note,
             "parent": parent, "mode": mode, "url": url, "token": token, "folder": folder,
             "system_metrics": system_metrics, "console": console, "team": team, "group": group,
             "job_type": job_type, "resume": resume, "reinit": reinit, "sync_tensorboard": sync_tensorboard,
             "save_code": save_code}  # fmt: skip
    try:
        return _init(_read_other_names(given, others))
    except Exception as error:  # noqa: BLE001 - a run that cannot start must not end training
        log.error("This run logs nothing: %r", error)
        return _start_disabled()


def _init(given: dict[str, Any]) -> Run:
    active = current.run()
    if active is not None:
        if given["reinit"] in (True, "finish_previous"):
            active.finish()
        elif given["reinit"] == "return_previous" or (given["is_bare"] and given["reinit"] is None):
            return active
    settings = options.read_options(
        is_strict=False,
        **{key: given[key] for key in ("mode", "url", "token", "folder", "system_metrics", "console")},
    )
    process = launch.read_launch()
    chosen = _choose_id(given, settings)
    run_id = (
        description.clean_id(chosen)
        if chosen
        else launch.shared_run_id(process, given["project"], given["name"])
    )
    if run_id is None:
        log.error("Ranks on several nodes share no launch id: set FOURWALLS_RUN_ID to the same id on all. "
                  "This rank logs nothing.")  # fmt: skip
        settings = options.read_options(is_strict=False, mode="disabled")
    run = Run(run_id or launch.random_id(), process, settings)
    given["config"] = {**current.take_early_config(), **_filter_config(given)}
    run._describe(given)
    current.set_current(run)
    describe = description.describe_run if process.rank == 0 else description.describe_writer
    body = describe(run.id, given)
    message = {"run": body, "joins": given["join"], "is_first": process.rank == 0}
    run._start(message, is_resumed=chosen is not None)
    _start_helpers(run, given)
    return run


def _read_other_names(given: dict[str, Any], others: dict[str, Any]) -> dict[str, Any]:
    """Arguments by our names. Unknown ones are ignored with one warning."""
    naming = ("project", "name", "config", "id", "group", "resume", "join")
    given["is_bare"] = not any(given[key] for key in naming)
    for name, theirs in (("note", "notes"), ("folder", "dir"), ("team", "entity")):
        value = others.pop(theirs, None)
        given[name] = value if given[name] is None else given[name]
    given["include_keys"] = others.pop("config_include_keys", None)
    given["exclude_keys"] = others.pop("config_exclude_keys", None)
    given["sync_tensorboard"] |= bool(others.pop("tensorboard", False))
    unknown = sorted(name for name in others if name not in IGNORED_WITHOUT_WARNING)
    if unknown:
        _warnings.warn("arguments", "init() ignores %s.", ", ".join(unknown))
    for name, variable in FROM_ENVIRONMENT:
        if given[name] is None and not _has_own_variable(name) and (text := os.environ.get(variable)):
            given[name] = text.split(",") if name == "tags" else text
    for name in ("project", "name", "note", "group", "job_type", "team"):
        given[name] = "" if given[name] is None else str(given[name])
    if isinstance(given["tags"], str):
        given["tags"] = [given["tags"]]
    return given


def _has_own_variable(name: str) -> bool:
    variables = {"mode": "FOURWALLS_MODE", "folder": "FOURWALLS_DIR", "id": "FOURWALLS_RUN_ID"}
    return variables.get(name, "") in os.environ


def _choose_id(given: dict[str, Any], settings: options.Options) -> Any:
    """The id that the script or the environment has chosen; with resume="auto", that of the last run of the folder
    that did not end."""
    chosen = os.environ.get("FOURWALLS_RUN_ID") if given["id"] is None else given["id"]
    if chosen is None and given["resume"] in RESUMED:
        try:
            return json.loads((settings.folder / "resume.json").read_bytes())["id"]
        except (OSError, ValueError, KeyError):
            return None
    return chosen


def _filter_config(given: dict[str, Any]) -> dict[str, Any]:
    config = read_config(given["config"])
    if given["include_keys"]:
        config = {key: value for key, value in config.items() if key in given["include_keys"]}
    return {key: value for key, value in config.items() if key not in (given["exclude_keys"] or ())}


def _start_helpers(run: Run, given: dict[str, Any]) -> None:
    """What init() was asked for beside the run; each may fail alone."""
    if given["resume"] in RESUMED:
        run.remember_id()
    if given["save_code"]:
        run.save_script()
    if given["sync_tensorboard"]:
        from fourwalls import tensorboard_mirror

        tensorboard_mirror.start()


def _start_disabled() -> Run:
    run = Run(launch.random_id(), launch.read_launch(), options.Options(mode="disabled", folder=Path.cwd()))
    nothing = dict.fromkeys(("project", "name", "group", "job_type", "team", "note"), "")
    run._describe({**nothing, "tags": (), "config": current.take_early_config()})
    current.set_current(run)
    return run

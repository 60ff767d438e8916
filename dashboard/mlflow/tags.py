"""Tags of runs, those among them that are columns of ours."""

from __future__ import annotations

from collections.abc import Iterable

from dashboard.mlflow import shapes
from dashboard.mlflow.door import Caller, endpoint
from dashboard.mlflow.errors import bad, nothing
from dashboard.mlflow.words import NAME, NOTE, PARENT, TAG_COLUMNS, refuse_bad_name
from engine.request_limits import RUN_NAME_CHARS, TAG_CHARS
from jobs.models import Run
from jobs.tracking import external_runs, run_annotations


class SetTag(shapes.RunId):
    key: str = ""
    value: str = ""


@endpoint("POST", SetTag, writes=True)
def set_tag(caller: Caller, asked: SetTag) -> None:
    run = caller.active_run(asked.id)
    refuse_bad_tags([shapes.Pair(asked.key, asked.value)])
    set_tags(caller, run, {asked.key: asked.value})


@endpoint("POST", SetTag, writes=True)
def delete_tag(caller: Caller, asked: SetTag) -> None:
    run = caller.active_run(asked.id)
    if asked.key == NOTE and run.note:
        run_annotations.change(run, actor=caller.name, note="")
    elif asked.key in TAG_COLUMNS or not external_runs.drop_tags(run, [asked.key]):
        raise nothing(f"No tag with name: {asked.key} in run with id {run.id}")


def set_tags(caller: Caller, run: Run, tags: dict[str, str]) -> None:
    plain = {key: value for key, value in tags.items() if key not in TAG_COLUMNS}
    if plain:
        external_runs.set_tags(run, plain)
    if tags.get(NAME):
        if len(tags[NAME]) > RUN_NAME_CHARS:
            raise bad(f"'run_name' exceeds the maximum length of {RUN_NAME_CHARS} characters")
        run_annotations.change(run, actor=caller.name, name=tags[NAME])
    if NOTE in tags:
        run_annotations.change(run, actor=caller.name, note=tags[NOTE])
    if tags.get(PARENT):
        external_runs.set_parent(run, caller.run(tags[PARENT]), actor=caller.name)


def refuse_bad_tags(tags: Iterable[shapes.Pair]) -> None:
    for number, pair in enumerate(tags):
        refuse_bad_name(pair.key, f"tags[{number}].key")
        if len(pair.value) > TAG_CHARS:
            raise bad(f"'tags[{number}].value' exceeds the maximum length of {TAG_CHARS} characters")

"""Tags of runs, those among them that are columns of ours."""

from __future__ import annotations

from collections.abc import Iterable

from dashboard.access import Scope
from dashboard.mlflow import shapes
from dashboard.mlflow.door import endpoint, get_active_run, get_run
from dashboard.mlflow.errors import bad, nothing
from dashboard.mlflow.words import NAME, NOTE, PARENT, TAG_COLUMNS, refuse_bad_name
from engine.request_limits import RUN_NAME_CHARS, TAG_CHARS
from jobs.models import Run
from jobs.tracking import external_runs, run_annotations


class SetTag(shapes.RunId):
    key: str = ""
    value: str = ""


@endpoint("POST", SetTag, writes=True)
def set_tag(scope: Scope, asked: SetTag) -> None:
    run = get_active_run(scope, asked.id)
    refuse_bad_tags([shapes.Pair(asked.key, asked.value)])
    set_tags(scope, run, {asked.key: asked.value})


@endpoint("POST", SetTag, writes=True)
def delete_tag(scope: Scope, asked: SetTag) -> None:
    run = get_active_run(scope, asked.id)
    if asked.key == NOTE and run.note:
        run_annotations.change(run, actor=scope.name, note="")
    elif asked.key in TAG_COLUMNS or not external_runs.drop_tags(run, [asked.key]):
        raise nothing(f"No tag with name: {asked.key} in run with id {run.id}")


def set_tags(scope: Scope, run: Run, tags: dict[str, str]) -> None:
    plain = {key: value for key, value in tags.items() if key not in TAG_COLUMNS}
    if plain:
        external_runs.set_tags(run, plain)
    if tags.get(NAME):
        if len(tags[NAME]) > RUN_NAME_CHARS:
            raise bad(f"'run_name' exceeds the maximum length of {RUN_NAME_CHARS} characters")
        run_annotations.change(run, actor=scope.name, name=tags[NAME])
    if NOTE in tags:
        run_annotations.change(run, actor=scope.name, note=tags[NOTE])
    if tags.get(PARENT):
        external_runs.set_parent(run, get_run(scope, tags[PARENT]), actor=scope.name)


def refuse_bad_tags(tags: Iterable[shapes.Pair]) -> None:
    for number, pair in enumerate(tags):
        refuse_bad_name(pair.key, f"tags[{number}].key")
        if len(pair.value) > TAG_CHARS:
            raise bad(f"'tags[{number}].value' exceeds the maximum length of {TAG_CHARS} characters")

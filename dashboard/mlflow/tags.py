"""Tags of runs, some of which are columns."""

from __future__ import annotations

from collections.abc import Iterable

from dashboard.access import Scope
from dashboard.mlflow import shapes
from dashboard.mlflow.endpoints import endpoint, get_active_run, get_run
from dashboard.mlflow.errors import invalid, not_found
from dashboard.mlflow.vocabulary import NAME, NOTE, PARENT, TAG_COLUMNS, refuse_bad_name
from engine.request_limits import RUN_NAME_CHARS, TAG_CHARS
from jobs.models import Run
from jobs.tracking import external_runs, run_annotations


class SetTag(shapes.RunId):
    key: str = ""
    value: str = ""


@endpoint("POST", SetTag, writes=True)
def set_tag(scope: Scope, body: SetTag) -> None:
    run = get_active_run(scope, body.id)
    refuse_bad_tags([shapes.Pair(body.key, body.value)])
    set_tags(scope, run, {body.key: body.value})


@endpoint("POST", SetTag, writes=True)
def delete_tag(scope: Scope, body: SetTag) -> None:
    run = get_active_run(scope, body.id)
    if body.key == NOTE and run.note:
        run_annotations.change(run, actor=scope.name, note="")
    elif body.key in TAG_COLUMNS or not external_runs.drop_tags(run, [body.key]):
        raise not_found(f"No tag with name: {body.key} in run with id {run.id}")


def set_tags(scope: Scope, run: Run, tags: dict[str, str]) -> None:
    plain = {key: value for key, value in tags.items() if key not in TAG_COLUMNS}
    if plain:
        external_runs.set_tags(run, plain)
    if tags.get(NAME):
        if len(tags[NAME]) > RUN_NAME_CHARS:
            raise invalid(f"'run_name' exceeds the maximum length of {RUN_NAME_CHARS} characters")
        run_annotations.change(run, actor=scope.name, name=tags[NAME])
    if NOTE in tags:
        run_annotations.change(run, actor=scope.name, note=tags[NOTE])
    if tags.get(PARENT):
        external_runs.set_parent(run, get_run(scope, tags[PARENT]), actor=scope.name)


def refuse_bad_tags(tags: Iterable[shapes.Pair]) -> None:
    for number, pair in enumerate(tags):
        refuse_bad_name(pair.key, f"tags[{number}].key")
        if len(pair.value) > TAG_CHARS:
            raise invalid(f"'tags[{number}].value' exceeds the maximum length of {TAG_CHARS} characters")

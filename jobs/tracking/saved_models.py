"""Models saved by runs: create, finish, describe, archive."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.utils import timezone

from engine.request_limits import KEY_CHARS, PARAM_CHARS, TAG_CHARS
from jobs.models import Run, RunEvent, SavedModel

STATES = ("pending", "ready", "upload_failed")


class SavedModelError(ValueError):
    """A change that is refused; the message names it and the reason."""


def create(
    run: Run, name: str, *, kind: str, params: Mapping[str, str], tags: Mapping[str, str], actor: str
) -> SavedModel:
    """A pending model, to which files may be added. Raises SavedModelError."""
    if not name or len(name) > 250 or any(mark in name for mark in "/:.%\"'\0"):
        raise SavedModelError(
            f"{name[:50]!r} is not a model name: 1 to 250 characters without / : . % and quotes."
        )
    _refuse_bad(params, PARAM_CHARS)
    _refuse_bad(tags, TAG_CHARS)
    return SavedModel.objects.create(
        run=run,
        name=name,
        kind=kind[:250],
        state="pending",
        params=dict(params),
        tags=dict(tags),
        actor=actor,
    )


def finish(model: SavedModel, state: str, *, actor: str) -> None:
    """Set the state that its writer reports. Raises SavedModelError."""
    if state not in STATES:
        raise SavedModelError(f"'{state}' is not a state of a model. Use one of {', '.join(STATES)}.")
    with transaction.atomic():
        moved = SavedModel.objects.filter(id=model.id).exclude(state=state)
        if moved.update(state=state, updated_at=timezone.now()):
            _record_event(model, actor, f"Model {model.name} is {state.replace('_', ' ')}.")
    model.state = state


def describe(
    model: SavedModel,
    *,
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str | None] | None = None,
) -> None:
    """Add parameters and tags; a tag of None is removed. Raises SavedModelError."""
    _refuse_bad(params or {}, PARAM_CHARS)
    _refuse_bad({key: value or "" for key, value in (tags or {}).items()}, TAG_CHARS)
    with transaction.atomic():
        current = SavedModel.objects.select_for_update().get(id=model.id)
        merged = {**current.tags, **(tags or {})}
        model.params = current.params | dict(params or {})
        model.tags = {key: value for key, value in merged.items() if value is not None}
        model.save(update_fields=["params", "tags", "updated_at"])


def archive(model: SavedModel, *, actor: str) -> None:
    with transaction.atomic():
        if SavedModel.objects.filter(id=model.id, archived_at__isnull=True).update(
            archived_at=timezone.now()
        ):
            _record_event(model, actor, f"Model {model.name} archived.")


def _refuse_bad(pairs: Mapping[str, str], limit: int) -> None:
    for key, value in pairs.items():
        if not key or len(key) > KEY_CHARS or len(value) > limit or "\0" in key + value:
            raise SavedModelError(
                f"{key[:50]!r}: a name has 1 to {KEY_CHARS} characters, a value at most {limit}, no NUL."
            )


def _record_event(model: SavedModel, actor: str, text: str) -> None:
    RunEvent.objects.create(run_id=model.run_id, actor=actor, kind="run.model", text=text)

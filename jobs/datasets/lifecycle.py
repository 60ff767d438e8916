"""Lifecycle of a data set: draft, ready, changed, deleted."""

from __future__ import annotations

import unicodedata

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from engine.data.corpora import DATASET_PREFIX
from jobs.models import Dataset, DatasetEvent, Job
from jobs.models.datasets import LICENCE_LIMIT, NAME_LIMIT
from jobs.states.jobs import FINAL

NOTE_LIMIT = 10_000


class DatasetError(ValueError):
    """An action on a data set is not possible; `field` names the form field that shows the message."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def accept_draft(dataset: Dataset, actor: User) -> None:
    """Make a draft ready with its good lines. Raises DatasetError if it has none or is not a draft."""
    if not dataset.num_good:
        raise DatasetError("No line of this file is usable, so there is nothing to keep.")
    with transaction.atomic():
        drafts = Dataset.objects.filter(id=dataset.id, state=Dataset.UploadState.DRAFT)
        if not drafts.update(state=Dataset.UploadState.READY, ready_at=timezone.now()):
            raise DatasetError(f"'{dataset.name}' is no longer a draft.")
        _record_event(
            dataset, actor, f"Kept {dataset.num_good:,} lines; left out {dataset.num_bad:,} refused lines."
        )


def discard_draft(dataset: Dataset, actor: User) -> None:
    """Delete a draft and its content. Raises DatasetError if it is not a draft."""
    with transaction.atomic():
        if not Dataset.objects.filter(id=dataset.id).exclude(state=Dataset.UploadState.READY).exists():
            raise DatasetError(f"'{dataset.name}' is no longer a draft.")
        DatasetEvent.objects.create(
            team=dataset.team,
            actor=actor.get_username(),
            text=f"Discarded the draft of '{dataset.file_name}'.",
        )
        dataset.delete()


def change_details(dataset: Dataset, actor: User, *, name: str, licence: str, note: str) -> None:
    """Change the name, licence and note of a data set. Raises DatasetError."""
    if len(licence) > LICENCE_LIMIT or len(note) > NOTE_LIMIT or "\0" in licence + note:
        raise DatasetError(
            f"A licence may have {LICENCE_LIMIT} characters and a note {NOTE_LIMIT:,}; neither may contain NUL."
        )
    values = {"name": clean_name(name), "licence": licence.strip(), "note": note.strip()}
    with transaction.atomic():
        Dataset.objects.filter(id=dataset.id).update(**values)
        _record_event(
            dataset, actor, f"Name '{values['name']}'; licence: {values['licence'] or 'not given'}."
        )


def delete_content(dataset: Dataset, actor: User) -> None:
    """Delete the content of a data set; its name, figures and events stay for the runs that used it.

    Raises DatasetError while a job that has not ended needs it.
    """
    readers = Job.objects.filter(team=dataset.team, spec__data__corpus=f"{DATASET_PREFIX}{dataset.id}")
    job = readers.exclude(state__in=FINAL).first()
    if job is not None:
        raise DatasetError(f"Job '{job.name}' reads this data set and has not ended. Cancel it first.")
    with transaction.atomic():
        Dataset.objects.filter(id=dataset.id).update(archived_at=timezone.now())
        dataset.parts.all().delete()
        _record_event(dataset, actor, "Deleted the content.")


def remove(dataset: Dataset, actor: User) -> None:
    """Discard a draft, or delete the content of a data set that is ready. Raises DatasetError."""
    (delete_content if dataset.state == Dataset.UploadState.READY else discard_draft)(dataset, actor)


def clean_name(name: str) -> str:
    """Normalise a name. Raises DatasetError if it is empty, too long or not printable."""
    clean = " ".join(unicodedata.normalize("NFC", name).split())
    if not clean or len(clean) > NAME_LIMIT or not clean.isprintable():
        raise DatasetError(f"A name has 1 to {NAME_LIMIT} printable characters.", "name")
    return clean


def _record_event(dataset: Dataset, actor: User, text: str) -> None:
    DatasetEvent.objects.create(dataset=dataset, team=dataset.team, actor=actor.get_username(), text=text)

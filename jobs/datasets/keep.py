"""What becomes of a data set: a draft is kept or thrown away, one that is ready is renamed or deleted."""

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
    """What was asked cannot be done; `field` says where the form shows the message."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def keep(dataset: Dataset, actor: User) -> None:
    """A draft becomes ready with its good lines. Raises DatasetError when it has none, or is no draft."""
    if not dataset.num_good:
        raise DatasetError("Not one line of this file can be used, so there is nothing to keep.")
    with transaction.atomic():
        drafts = Dataset.objects.filter(id=dataset.id, state=Dataset.State.DRAFT)
        if not drafts.update(state=Dataset.State.READY, ready_at=timezone.now()):
            raise DatasetError(f"'{dataset.name}' is no draft any more.")
        _tell(dataset, actor, f"{dataset.num_good:,} lines kept without {dataset.num_bad:,} refused ones.")


def discard(dataset: Dataset, actor: User) -> None:
    """A draft goes away with everything that came with it. Raises DatasetError when it is none."""
    with transaction.atomic():
        if not Dataset.objects.filter(id=dataset.id).exclude(state=Dataset.State.READY).exists():
            raise DatasetError(f"'{dataset.name}' is no draft any more.")
        DatasetEvent.objects.create(
            team=dataset.team,
            actor=actor.get_username(),
            text=f"The draft of '{dataset.file_name}' was thrown away.",
        )
        dataset.delete()


def change(dataset: Dataset, actor: User, *, name: str, licence: str, note: str) -> None:
    """Raises DatasetError."""
    if len(licence) > LICENCE_LIMIT or len(note) > NOTE_LIMIT or "\0" in licence + note:
        raise DatasetError(
            f"A licence has at most {LICENCE_LIMIT} characters, a note {NOTE_LIMIT:,}, none of them NUL."
        )
    values = {"name": clean_name(name), "licence": licence.strip(), "note": note.strip()}
    with transaction.atomic():
        Dataset.objects.filter(id=dataset.id).update(**values)
        _tell(dataset, actor, f"Is called '{values['name']}'; licence: {values['licence'] or 'not given'}.")


def delete(dataset: Dataset, actor: User) -> None:
    """Its content goes; its name, figures and events stay for the runs that used it. Raises DatasetError while a job
    that has not ended needs it."""
    waiting = Job.objects.filter(team=dataset.team, spec__data__corpus=f"{DATASET_PREFIX}{dataset.id}")
    job = waiting.exclude(state__in=FINAL).first()
    if job is not None:
        raise DatasetError(f"Job '{job.name}' has not ended and reads this data set. Cancel it first.")
    with transaction.atomic():
        Dataset.objects.filter(id=dataset.id).update(archived_at=timezone.now())
        dataset.parts.all().delete()
        _tell(dataset, actor, "Its content was deleted.")


def remove(dataset: Dataset, actor: User) -> None:
    """Discard a draft, or delete the content of a data set that is ready. Raises DatasetError."""
    (delete if dataset.state == Dataset.State.READY else discard)(dataset, actor)


def clean_name(name: str) -> str:
    """Raises DatasetError for an empty, overlong or unprintable one."""
    clean = " ".join(unicodedata.normalize("NFC", name).split())
    if not clean or len(clean) > NAME_LIMIT or not clean.isprintable():
        raise DatasetError(f"A name has 1 to {NAME_LIMIT} printable characters.", "name")
    return clean


def _tell(dataset: Dataset, actor: User, text: str) -> None:
    DatasetEvent.objects.create(dataset=dataset, team=dataset.team, actor=actor.get_username(), text=text)

"""Which data sets a team has, whether a spec may use one, and what stands in it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import NamedTuple

from django.db.models import QuerySet

from engine.data.corpora import DATASET_PREFIX, Choice, refuse_more_classes, refuse_other_kind
from engine.data.files import refusal
from engine.spec.spec import Spec
from jobs.datasets import content
from jobs.models import Dataset, Run, Team

KIND_WORDS = {"text": "texts", "pairs": "pairs", "classes": "labelled texts"}


class Row(NamedTuple):
    """One line of a data set; a text has no target."""

    source: str
    target: str


def usable(teams: Iterable[Team]) -> QuerySet[Dataset]:
    return Dataset.objects.filter(team__in=teams, state=Dataset.State.READY, archived_at=None)


def choices(teams: Iterable[Team]) -> list[Choice]:
    """What a form offers beside the built-in corpora."""
    return [
        Choice(f"{DATASET_PREFIX}{one.id}", f"{one.name} (uploaded, {one.num_good:,} {KIND_WORDS[one.kind]})")
        for one in usable(teams).order_by("name")
    ]


def dataset_named(corpus: str) -> Dataset | None:
    """The data set that a spec's corpus names; None for a corpus that is none."""
    if not corpus.startswith(DATASET_PREFIX):
        return None
    return Dataset.objects.filter(id=corpus.removeprefix(DATASET_PREFIX)).first()


def refuse_unusable(spec: Spec, team: Team) -> None:
    """Raises SpecError unless the spec's corpus is no data set, or one of the team's that suits the objective."""
    if not spec.data.corpus.startswith(DATASET_PREFIX):
        return
    found = dataset_named(spec.data.corpus)
    if found is None or found.team_id != team.id:
        raise refusal(f"Team {team.name} has no data set '{spec.data.corpus}'. See the page Data.")
    if found.archived_at is not None:
        raise refusal(f"The content of data set '{found.name}' was deleted. Choose another.")
    if found.state != Dataset.State.READY:
        raise refusal(f"Data set '{found.name}' is a draft: say on its page whether its good lines are kept.")
    refuse_other_kind(found.name, found.kind, spec.data.objective)  # type: ignore[arg-type]
    refuse_more_classes(found.name, len(found.statistics.get("classes", ())), spec.model.classes)


def rows(dataset: Dataset, limit: int) -> list[Row]:
    """The first so many lines."""
    found = (json.loads(line) for line in itertools.islice(content.lines(dataset), limit))
    return [
        Row(one.get("source", one.get("text", "")), one.get("target", one.get("label", ""))) for one in found
    ]


def runs_of(dataset: Dataset) -> QuerySet[Run]:
    """The team's runs that have read it, newest first."""
    named = Run.objects.filter(team=dataset.team, spec__data__corpus=f"{DATASET_PREFIX}{dataset.id}")
    return named.select_related("owner", "job").order_by("-created_at")

"""Data sets of a team: lookup, checks against a spec, and first rows."""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db.models import QuerySet

from engine.data import epochs
from engine.data.corpora import DATASET_PREFIX, CorpusChoice, refuse_more_classes, refuse_other_kind
from engine.data.files import corpus_error
from engine.spec.spec import Spec
from jobs.models import Dataset, Run, Team

KIND_WORDS = {
    "text": "texts", "pairs": "pairs", "classes": "labelled texts", "chats": "chats", "preference": "preferences",
}  # fmt: skip


def usable_datasets(teams: Iterable[Team]) -> QuerySet[Dataset]:
    return Dataset.objects.filter(team__in=teams, state=Dataset.UploadState.READY, archived_at=None)


def corpus_choices(teams: Iterable[Team]) -> list[CorpusChoice]:
    """Usable data sets as choices of a form, to follow the built-in corpora."""
    return [
        CorpusChoice(
            f"{DATASET_PREFIX}{one.id}", f"{one.name} (uploaded, {one.num_good:,} {KIND_WORDS[one.kind]})"
        )
        for one in usable_datasets(teams).order_by("name")
    ]


def get_dataset(corpus: str) -> Dataset | None:
    """The data set that a spec's corpus names; None for another kind of corpus."""
    if not corpus.startswith(DATASET_PREFIX):
        return None
    return Dataset.objects.filter(id=corpus.removeprefix(DATASET_PREFIX)).first()


def find_epochs(spec: Spec) -> epochs.Epochs | None:
    """How often a run of the spec reads its corpus; None where the size of the corpus is not known."""
    found = get_dataset(spec.data.corpus)
    if found is None:
        size = epochs.built_in_or_file_size(spec.data.corpus, settings.CORPUS_ROOT)
    elif found.kind == "text":
        size = epochs.CorpusSize(bytes=found.size_bytes)
    else:
        size = epochs.CorpusSize(num_examples=found.num_good)
    return epochs.count_epochs(spec, size)


def refuse_unusable(spec: Spec, team: Team) -> None:
    """Raise SpecError unless the corpus is built in, or a data set of the team that suits the objective."""
    if not spec.data.corpus.startswith(DATASET_PREFIX):
        return
    found = get_dataset(spec.data.corpus)
    if found is None or found.team_id != team.id:
        raise corpus_error(f"Team {team.name} has no data set '{spec.data.corpus}'. See the Data page.")
    if found.archived_at is not None:
        raise corpus_error(f"The content of data set '{found.name}' was deleted. Choose another data set.")
    if found.state != Dataset.UploadState.READY:
        raise corpus_error(f"Data set '{found.name}' is a draft. Keep its good lines on its page first.")
    refuse_other_kind(found.name, found.kind, spec.data.objective)  # type: ignore[arg-type]
    refuse_more_classes(found.name, len(found.statistics.get("classes", ())), spec.model.classes)


def runs_of(dataset: Dataset) -> QuerySet[Run]:
    """Runs of the team that have read the data set, newest first."""
    named = Run.objects.filter(
        team=dataset.team, deletion=None, spec__data__corpus=f"{DATASET_PREFIX}{dataset.id}"
    )
    return named.select_related("owner", "job").order_by("-created_at")

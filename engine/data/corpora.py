"""Corpora: built-in ones, uploaded data sets, files of the data folder."""

from __future__ import annotations

import difflib
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.data import files
from engine.data.examples import Example
from engine.data.files import corpus_error
from engine.data.lines import KIND_TITLES, Kind
from engine.data.readers import catalogues, debian, docstrings, python
from engine.spec.parts import Objective

FILES_LISTED = 200
DATASET_PREFIX = "dataset:"  # followed by the id of an uploaded data set

# Kinds of records that each objective reads.
KINDS_BY_OBJECTIVE: dict[Objective, tuple[Kind, ...]] = {
    "next_token": ("text",), "masked": ("text",), "classes": ("classes",), "pairs": ("pairs",),
    "chat": ("chats", "pairs", "preference"),  # a pair is a question with its answer; of two answers the chosen one
}  # fmt: skip


def list_objectives(kind: str) -> list[Objective]:
    """Return the objectives that read this kind of records."""
    return [objective for objective, kinds in KINDS_BY_OBJECTIVE.items() if kind in kinds]


@dataclass(frozen=True)
class Corpus:
    """A built-in corpus. `version` increases when `read` returns another text on the same machine."""

    name: str
    title: str
    licence: str
    version: int
    read: Callable[[], Iterator[Example]]  # targets are empty for texts
    kind: Kind = "text"
    # What else its text depends on, such as versions of packages.
    dependencies: Callable[[], str] = lambda: ""
    # Why it is not on this machine and how to install it; empty if it is available.
    missing_reason: Callable[[], str] = lambda: ""
    num_classes: int = 0  # of a corpus with labels
    about_size: int = 0  # bytes of a text, else examples; measured with Python 3.11; 0: not measured

    @property
    def identity(self) -> str:
        """Cheap substitute for the hash of the text: Python build, versions of packages, version of the reader."""
        build = f"{self.name} {self.version} {sys.implementation.cache_tag} {sys.version}"
        return f"{build} {self.dependencies()}".rstrip()


@dataclass(frozen=True)
class CorpusChoice:
    """One entry of the form's list of corpora."""

    name: str
    title: str


CORPORA: tuple[Corpus, ...] = (
    Corpus(
        "python-docs", "Python's documentation topics (0.5 MB)", "PSF-2.0", 1, python.read_topics,
        about_size=466_000,
    ),
    Corpus(
        "python-source", "Source of Python's standard library (12 MB)", "PSF-2.0", 1, python.read_sources,
        about_size=12_100_000,
    ),
    Corpus(
        "messages-en-fr", "English to French: messages of this machine's programs (pairs)",
        "each program's own: BSD-3-Clause (Django), GPL, LGPL and others", 2,
        partial(catalogues.read_translations, "fr"), "pairs", partial(catalogues.describe_versions, "fr"),
        about_size=20_100,
    ),
    Corpus(
        "docstring-summaries", "Documentation of Python functions and its first line (pairs)",
        "PSF-2.0 and BSD-3-Clause", 1,
        docstrings.read_summaries, "pairs", docstrings.describe_versions, docstrings.missing_reason,
        about_size=5_600,
    ),
    Corpus(
        "code-summaries", "Code of Python functions and the first line of their documentation (pairs)",
        "PSF-2.0 and BSD-3-Clause", 1,
        docstrings.read_code_summaries, "pairs", docstrings.describe_versions, docstrings.missing_reason,
        about_size=19_600,
    ),
    Corpus(
        "docstring-questions", "What is this parameter? Answered by its documentation (pairs)",
        "PSF-2.0 and BSD-3-Clause", 1,
        docstrings.read_questions, "pairs", docstrings.describe_versions, docstrings.missing_reason,
        about_size=5_400,
    ),
    Corpus(
        "languages", "Short texts in 16 languages (labels)", "BSD-3-Clause", 1,
        catalogues.read_languages, "classes", partial(importlib.metadata.version, "django"), num_classes=16,
        about_size=7_600,
    ),
    Corpus(
        "debian-en-fr", "English to French: descriptions of Debian's packages (pairs)",
        "see the copyright file of each package", 1,
        partial(debian.read_translations, "fr"), "pairs",
        debian.describe_versions, partial(debian.missing_reason, "en", "fr"),
    ),
    Corpus(
        "debian-summaries", "Descriptions of Debian's packages with their one-line summaries (pairs)",
        "see the copyright file of each package", 1,
        debian.read_summaries, "pairs", debian.describe_versions, partial(debian.missing_reason, "en"),
    ),
)  # fmt: skip
BY_NAME: dict[str, Corpus] = {corpus.name: corpus for corpus in CORPORA}


def check_corpus(
    name: str,
    corpus_root: str | os.PathLike[str],
    objective: Objective = "next_token",
    classes: int | None = None,
) -> None:
    """Raise SpecError unless the corpus exists, is readable, has the kind that the objective reads, and has at most
    `classes` classes. Uploaded data sets are not checked here; the job queue knows them."""
    if name.startswith(DATASET_PREFIX):
        return
    if name in BY_NAME:
        kind = BY_NAME[name].kind
        if reason := BY_NAME[name].missing_reason():
            raise corpus_error(reason)
    else:
        _refuse_unknown(name)
        files.check(name, Path(corpus_root))
        kind = files.detect_kind(name, Path(corpus_root))
    refuse_other_kind(name, kind, objective)
    if classes is not None and name in BY_NAME:
        refuse_more_classes(name, BY_NAME[name].num_classes, classes)


def refuse_other_kind(name: str, kind: Kind, objective: Objective) -> None:
    """Raise SpecError on field data.objective if the objective does not read this kind of corpus."""
    wanted = KINDS_BY_OBJECTIVE[objective]
    if kind in wanted:
        return
    matching = list_objectives(kind)
    raise files.field_error(
        "data.objective",
        f"'{name}' contains {KIND_TITLES[kind]}; the objective {objective} reads "
        f"{' or '.join(KIND_TITLES[one] for one in wanted)}. Choose {' or '.join(matching)}, or another corpus.",
        {"data.objective": matching[0]},
    )


def refuse_more_classes(name: str, num_classes: int, spec_classes: int) -> None:
    """Raise SpecError on field model.classes if the corpus has more classes than the spec."""
    if num_classes > spec_classes:
        message = f"'{name}' has {num_classes:,} classes; model.classes is {spec_classes:,}. Raise it."
        raise files.field_error("model.classes", message, {"model.classes": num_classes})


def list_corpora(corpus_root: str | os.PathLike[str] | None = None) -> list[CorpusChoice]:
    """List the built-in corpora, then the files of the folder (the first 200 by name)."""
    choices = [CorpusChoice(corpus.name, _listed_title(corpus)) for corpus in CORPORA]
    if corpus_root is None or not Path(corpus_root).is_dir():
        return choices
    root = Path(corpus_root)
    found = sorted(
        p for p in root.rglob("*") if files.has_known_suffix(p.name) and p.is_file() and not p.is_symlink()
    )
    names = [path.relative_to(root).as_posix() for path in found[:FILES_LISTED]]
    return choices + [CorpusChoice(name, f"{name} (file)") for name in names]


def _listed_title(corpus: Corpus) -> str:
    return f"{corpus.title}, not on this machine" if corpus.missing_reason() else corpus.title


def _refuse_unknown(name: str) -> None:
    if files.has_known_suffix(name):
        return
    near = difflib.get_close_matches(name, BY_NAME, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise corpus_error(
        f"'{name}' is neither a built-in corpus ({', '.join(BY_NAME)}) nor the name of a file "
        f"({', '.join(files.SUFFIXES)}).{hint}",
        **({"corpus": near[0]} if near else {}),
    )

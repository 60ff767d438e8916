"""What a run can train on: built-in corpora, uploaded data sets, and files of the data folder."""

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
from engine.data.files import refusal
from engine.data.lines import KIND_TITLES, Kind
from engine.data.readers import catalogues, debian, docstrings, python
from engine.spec.parts import Objective

FILES_LISTED = 200
DATASET_PREFIX = "dataset:"  # an uploaded data set is named by its id behind this

# What each objective reads.
KIND_OF: dict[Objective, Kind] = {
    "next_token": "text", "masked": "text", "classes": "classes", "pairs": "pairs",
}  # fmt: skip


@dataclass(frozen=True)
class Corpus:
    """A built-in corpus. `version` goes up when `read` would give another text on the same machine."""

    name: str
    title: str
    licence: str
    version: int
    read: Callable[[], Iterator[Example]]  # a text has no target
    kind: Kind = "text"
    comes_with: Callable[[], str] = lambda: ""  # what else its text depends on, such as versions of packages
    absent: Callable[[], str] = lambda: ""  # why it is not on this machine and how to get it; empty: it is
    num_classes: int = 0  # of texts with labels

    @property
    def identity(self) -> str:
        """Cheap stand-in for the text's hash: the Python build and packages it comes with, the builder's version."""
        build = f"{self.name} {self.version} {sys.implementation.cache_tag} {sys.version}"
        return f"{build} {self.comes_with()}".rstrip()


@dataclass(frozen=True)
class Choice:
    name: str
    title: str


CORPORA: tuple[Corpus, ...] = (
    Corpus("python-docs", "Python's documentation topics (0.5 MB)", "PSF-2.0", 1, python.topics),
    Corpus("python-source", "Source of Python's standard library (11 MB)", "PSF-2.0", 1, python.sources),
    Corpus(
        "messages-en-fr", "English to French: what this machine's programs say (pairs)",
        "each program's own: BSD-3-Clause (Django), GPL, LGPL and others", 2,
        partial(catalogues.translated, "fr"), "pairs", partial(catalogues.versions, "fr"),
    ),
    Corpus(
        "docstring-summaries", "Documentation of Python functions and its first line (pairs)",
        "PSF-2.0 and BSD-3-Clause", 1, docstrings.summaries, "pairs", docstrings.versions, docstrings.absent,
    ),
    Corpus(
        "code-summaries", "Code of Python functions and the first line of their documentation (pairs)",
        "PSF-2.0 and BSD-3-Clause", 1, docstrings.code, "pairs", docstrings.versions, docstrings.absent,
    ),
    Corpus(
        "docstring-questions", "What is this parameter? Answered by its documentation (pairs)",
        "PSF-2.0 and BSD-3-Clause", 1, docstrings.questions, "pairs", docstrings.versions, docstrings.absent,
    ),
    Corpus(
        "languages", "Short texts in 16 languages (labels)", "BSD-3-Clause", 1,
        catalogues.languages, "classes", partial(importlib.metadata.version, "django"), num_classes=16,
    ),
    Corpus(
        "debian-en-fr", "English to French: descriptions of Debian's packages (pairs)",
        "as each package's copyright file says", 1,
        partial(debian.translated, "fr"), "pairs", debian.versions, partial(debian.absent, "en", "fr"),
    ),
    Corpus(
        "debian-summaries", "Descriptions of Debian's packages and the one line for each (pairs)",
        "as each package's copyright file says", 1,
        debian.summaries, "pairs", debian.versions, partial(debian.absent, "en"),
    ),
)  # fmt: skip
BY_NAME: dict[str, Corpus] = {corpus.name: corpus for corpus in CORPORA}


def check_corpus(
    name: str,
    corpus_root: str | os.PathLike[str],
    objective: Objective = "next_token",
    classes: int | None = None,
) -> None:
    """Raise SpecError unless `name` is there, whole, and what the objective reads, with no more classes than a model
    tells apart. Whether a data set exists is not known here, but by the queue that keeps them."""
    if name.startswith(DATASET_PREFIX):
        return
    if name in BY_NAME:
        kind = BY_NAME[name].kind
        if said := BY_NAME[name].absent():
            raise refusal(said)
    else:
        _refuse_unknown(name)
        files.check(name, Path(corpus_root))
        kind = files.kind_of(name, Path(corpus_root))
    refuse_other_kind(name, kind, objective)
    if classes is not None and name in BY_NAME:
        refuse_more_classes(name, BY_NAME[name].num_classes, classes)


def refuse_other_kind(name: str, kind: Kind, objective: Objective) -> None:
    """Raise SpecError on field data.objective when it does not read what the corpus holds."""
    if KIND_OF[objective] == kind:
        return
    fit = [candidate for candidate, wanted in KIND_OF.items() if wanted == kind]
    raise files.refused(
        "data.objective",
        f"'{name}' holds {KIND_TITLES[kind]}; the objective {objective} reads {KIND_TITLES[KIND_OF[objective]]}. "
        f"Choose {' or '.join(fit)}, or another corpus.",
        {"data.objective": fit[0]},
    )


def refuse_more_classes(name: str, num_classes: int, spec_classes: int) -> None:
    """Raise SpecError on field model.classes when the model tells fewer apart than the corpus has."""
    if num_classes > spec_classes:
        message = f"'{name}' has {num_classes:,} classes; the model tells {spec_classes:,} apart."
        raise files.refused("model.classes", message, {"model.classes": num_classes})


def listing(corpus_root: str | os.PathLike[str] | None = None) -> list[Choice]:
    """What a form offers: the built-in corpora, then files of the folder (the first 200 by name)."""
    choices = [Choice(corpus.name, _titled(corpus)) for corpus in CORPORA]
    if corpus_root is None or not Path(corpus_root).is_dir():
        return choices
    root = Path(corpus_root)
    found = sorted(
        p for p in root.rglob("*") if p.suffix in files.SUFFIXES and p.is_file() and not p.is_symlink()
    )
    names = [path.relative_to(root).as_posix() for path in found[:FILES_LISTED]]
    return choices + [Choice(name, f"{name} (file)") for name in names]


def _titled(corpus: Corpus) -> str:
    return f"{corpus.title}, not on this machine" if corpus.absent() else corpus.title


def _refuse_unknown(name: str) -> None:
    if name.endswith(files.SUFFIXES):
        return
    near = difflib.get_close_matches(name, BY_NAME, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise refusal(
        f"'{name}' is neither a built-in corpus ({', '.join(BY_NAME)}) nor the name of a file "
        f"({', '.join(files.SUFFIXES)}).{hint}",
        **({"corpus": near[0]} if near else {}),
    )

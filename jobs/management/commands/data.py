"""`manage.py data list|add|keep|delete`: a team's data sets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from engine.data.corpora import CORPORA, DATASET_PREFIX
from jobs import datasets
from jobs.management.lookup import get_team, get_user
from jobs.models import Dataset, Team

CHUNK_BYTES = 1024 * 1024
REFUSED_SHOWN = 20


class Command(BaseCommand):
    help = "List data sets and corpora, add a file, keep the good lines of a draft, or delete."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--user", help="user who acts (default: admin)")
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("list")
        add = verbs.add_parser("add", help="a text, JSON, CSV, TSV or Parquet file, also as .gz or .zst")
        add.add_argument("file")
        add.add_argument("--name", default="", help="default: the name of the file")
        add.add_argument("--licence", default="")
        add.add_argument("--fields", default="", help="fields to read, as in text=review,label=stars")
        add.add_argument("--keep", action="store_true", help="keep the good lines even if others are refused")
        for verb in ("keep", "delete"):
            verbs.add_parser(verb).add_argument("dataset", help="its id")

    def handle(self, *, verb: str, user: str | None, **options: Any) -> None:
        person = get_user(user)
        team = get_team(person)
        try:
            if verb == "list":
                self._list(team)
            elif verb == "add":
                self._add(team, person, **options)
            else:
                self._change(team, person, verb, options["dataset"])
        except datasets.DatasetError as error:
            raise CommandError(str(error)) from None

    def _list(self, team: Team) -> None:
        for one in team.datasets.filter(archived_at=None):
            self.stdout.write(
                f"{DATASET_PREFIX}{one.id}  {one.state:<9}  {one.kind:<7}  {one.num_good:>9,}  {one.name}"
            )
        for corpus in CORPORA:
            self.stdout.write(f"{corpus.name:<20}  {corpus.kind:<7}  {corpus.title}; {corpus.licence}")

    def _add(
        self,
        team: Team,
        person: User,
        *,
        file: str,
        name: str,
        licence: str,
        fields: str,
        keep: bool,
        **_: Any,
    ) -> None:
        try:
            dataset = datasets.store_upload(
                team=team,
                owner=person,
                name=name,
                file_name=Path(file).name,
                licence=licence,
                chunks=_read_chunks(file),
                fields=fields,
            )
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}.") from None
        for refused in datasets.refused_lines(dataset, REFUSED_SHOWN):
            self.stderr.write(f"line {refused['number']}: {refused['reason']}")
        if dataset.num_bad > REFUSED_SHOWN:
            self.stderr.write(f"and {dataset.num_bad - REFUSED_SHOWN:,} more lines")
        if dataset.state == Dataset.UploadState.DRAFT and keep:
            datasets.accept_draft(dataset, person)
        elif dataset.state == Dataset.UploadState.DRAFT:
            self.stderr.write(
                f"{dataset.num_good:,} lines are good. To train on them, run: manage.py data keep {dataset.id}"
            )
        self.stdout.write(f"{DATASET_PREFIX}{dataset.id}")

    def _change(self, team: Team, person: User, verb: str, dataset_id: str) -> None:
        found = team.datasets.filter(id=dataset_id.removeprefix(DATASET_PREFIX)).first()
        if found is None:
            raise CommandError(f"Team {team.name} has no data set '{dataset_id}'.")
        (datasets.accept_draft if verb == "keep" else datasets.remove)(found, person)
        self.stdout.write(f"'{found.name}' is {'ready' if verb == 'keep' else 'deleted'}.")


def _read_chunks(file: str) -> Iterator[bytes]:
    with open(file, "rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk

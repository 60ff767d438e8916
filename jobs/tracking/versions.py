"""Versions of named sets of files that runs log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from engine.request_limits import VERSION_FILES, values_error
from jobs.models import Artefact, ArtefactVersion, Run, RunEvent, Team
from jobs.tracking.artefacts import refuse_bad_path
from jobs.tracking.external_runs import TrackingError

LATEST = "latest"


def create(
    run: Run,
    *,
    name: str,
    digest: str,
    prefix: str,
    files: Sequence[Mapping[str, Any]],
    aliases: Sequence[str] = (),
    actor: str,
    **described: Any,
) -> ArtefactVersion:
    """The next version of a name in the run's project. If the newest one has the same digest, it is returned and gets
    the aliases. Raises TrackingError, ArtefactError."""
    refuse_bad_path(prefix)
    if broken := VERSION_FILES.error(len(files)) or values_error(described):
        raise TrackingError(broken)
    if not name.strip() or "/" in name or ":" in name:
        raise TrackingError(f"'{name[:50]}' cannot name a version: it is empty or holds '/' or ':'.")
    with transaction.atomic():
        Team.objects.select_for_update().get(id=run.team_id)  # serialises the numbers of a name
        known = ArtefactVersion.objects.filter(team=run.team, project=run.project, name=name)
        newest = known.order_by("-number").first()
        if newest is None or newest.digest != digest:
            number = newest.number + 1 if newest else 0
            newest = ArtefactVersion.objects.create(
                team=run.team, project=run.project, run=run, name=name, number=number, digest=digest,
                prefix=prefix, files=[dict(one) for one in files], **described,
            )  # fmt: skip
            RunEvent.objects.create(run=run, actor=actor, kind="run.version", text=str(newest))
        _move_aliases(known, newest, [one for one in aliases if one != LATEST])
    return newest


def find(rows: QuerySet[ArtefactVersion], text: str) -> ArtefactVersion | None:
    """The version that `name`, `name:v3`, `name:latest` or `name:alias` names, among `rows`."""
    name, _, which = text.partition(":")
    named = rows.filter(name=name).order_by("-number")
    if which in ("", LATEST):
        return named.first()
    if which[:1] == "v" and which[1:].isascii() and which[1:].isdigit() and len(which) < 10:
        return named.filter(number=int(which[1:])).first()
    return next((one for one in named[:1000] if which in one.aliases), None)


def list_missing(version: ArtefactVersion) -> list[str]:
    """The files of a version that the server does not have yet."""
    stored = set(Artefact.objects.filter(run=version.run_id, path__startswith=f"{version.prefix}/")
                 .values_list("path", flat=True))  # fmt: skip
    paths = [one["path"] for one in version.files if not one.get("reference")]
    return [path for path in paths if f"{version.prefix}/{path}" not in stored]


def _move_aliases(known: QuerySet[ArtefactVersion], to: ArtefactVersion, aliases: list[str]) -> None:
    """An alias names one version of a name."""
    if not aliases:
        return
    for other in known.exclude(id=to.id):
        if kept := [one for one in other.aliases if one not in aliases]:
            if kept != other.aliases:
                ArtefactVersion.objects.filter(id=other.id).update(aliases=kept)
        elif other.aliases:
            ArtefactVersion.objects.filter(id=other.id).update(aliases=[])
    to.aliases = list(dict.fromkeys([*to.aliases, *aliases]))
    to.save(update_fields=["aliases"])

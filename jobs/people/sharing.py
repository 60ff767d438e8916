"""The only door for comments, saved views and reports. A mistake is a SharingError with the sentence to show."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from jobs.models import Comment, Membership, Report, Run, RunEvent, SavedView, Team
from jobs.models.people import Role
from jobs.models.sharing import SavedPage

COMMENT_LIMIT = 10_000  # characters
REPORT_LIMIT = 100_000
QUERY_LIMIT = 8_000
NAME_LIMIT = 100
TITLE_LIMIT = 200
NUL = "\0"


class SharingError(ValueError):
    """`field` says where the form shows the message."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def comment(run: Run, author: User, text: str) -> Comment:
    with transaction.atomic():
        made = Comment.objects.create(run=run, author=author, text=_text(text, COMMENT_LIMIT, "The comment"))
        RunEvent.objects.create(run=run, actor=author.get_username(), kind="run.commented")
    return made


def change_comment(found: Comment, author: User, text: str) -> None:
    """Raises SharingError unless `author` wrote it."""
    if found.author_id != author.pk:
        raise SharingError(f"Only {found.author.get_username()} can change this comment.")
    Comment.objects.filter(id=found.id).update(
        text=_text(text, COMMENT_LIMIT, "The comment"), changed_at=timezone.now()
    )


def delete_comment(found: Comment, actor: User) -> None:
    """By its author, a lead of the team or an admin; the run's events keep that there was one."""
    if found.author_id != actor.pk and not answers_for(actor, found.run.team):
        raise SharingError("Only its author or a lead of the team can delete a comment.")
    with transaction.atomic():
        Comment.objects.filter(id=found.id).delete()
        said = f"A comment of {found.author.get_username()}."
        RunEvent.objects.create(
            run=found.run, actor=actor.get_username(), kind="run.comment_deleted", text=said
        )


def save_view(*, team: Team, owner: User, page: str, name: str, query: str) -> SavedView:
    """A new view; under a name that is taken it says so, and nothing is replaced."""
    if page not in SavedPage.values:
        raise SharingError(f"Views of '{page}' cannot be saved.", "page")
    fields = {"name": _name(name), "query": _query(query)}
    try:
        with transaction.atomic():
            return SavedView.objects.create(team=team, owner=owner, page=page, **fields)
    except IntegrityError:
        said = f"Your team has a view '{fields['name']}' of this page already. Choose another name, or change that one."
        raise SharingError(said, "name") from None


def change_view(view: SavedView, *, actor: User, query: str) -> None:
    """The view shows what `query` says from now on, for everybody. By its owner or a lead."""
    _refuse_others(view.owner, view.team, actor, "view")
    SavedView.objects.filter(id=view.id).update(query=_query(query), changed_at=timezone.now())


def delete_view(view: SavedView, *, actor: User) -> None:
    _refuse_others(view.owner, view.team, actor, "view")
    SavedView.objects.filter(id=view.id).delete()


def write_report(*, team: Team, owner: User, title: str, text: str) -> Report:
    return Report.objects.create(
        team=team,
        owner=owner,
        title=_title(title),
        text=_text(text, REPORT_LIMIT, "The report", may_be_empty=True),
        changed_by=owner.get_username(),
    )


def change_report(report: Report, *, actor: User, title: str, text: str, seen: int) -> None:
    """`seen` is the version that the writer started from: a change that came between is never overwritten."""
    rows = Report.objects.filter(id=report.id, version=seen)
    changes = {"title": _title(title), "text": _text(text, REPORT_LIMIT, "The report", may_be_empty=True)}
    who = actor.get_username()
    if not rows.update(**changes, changed_by=who, changed_at=timezone.now(), version=F("version") + 1):
        current = Report.objects.get(id=report.id)
        raise SharingError(
            f"{current.changed_by} changed this report while you wrote. Your text is still below; open the report in "
            "another tab, take over what you need, and save again."
        )


def delete_report(report: Report, *, actor: User) -> None:
    _refuse_others(report.owner, report.team, actor, "report")
    Report.objects.filter(id=report.id).delete()


def answers_for(user: User, team: Team) -> bool:
    """A lead of the team, or an admin."""
    return user.is_staff or Membership.objects.filter(user=user, team=team, role=Role.LEAD).exists()


def _refuse_others(owner: User, team: Team, actor: User, what: str) -> None:
    if owner.pk != actor.pk and not answers_for(actor, team):
        raise SharingError(
            f"Only {owner.get_username()} or a lead of team {team.name} can do that to this {what}."
        )


def _name(name: str) -> str:
    name = " ".join(name.replace(NUL, "").split())
    if not name or len(name) > NAME_LIMIT:
        raise SharingError(f"A name has 1 to {NAME_LIMIT} characters; this one has {len(name)}.", "name")
    return name


def _title(title: str) -> str:
    title = " ".join(title.replace(NUL, "").split())
    if not title or len(title) > TITLE_LIMIT:
        raise SharingError(f"A title has 1 to {TITLE_LIMIT} characters; this one has {len(title)}.", "title")
    return title


def _text(text: str, limit: int, what: str, *, may_be_empty: bool = False) -> str:
    text = text.replace("\r\n", "\n").replace(NUL, "").strip()
    if not text and not may_be_empty:
        raise SharingError(f"{what} is empty.", "text")
    if len(text) > limit:
        raise SharingError(f"{what} has {len(text)} characters; at most {limit} are kept.", "text")
    return text


def _query(query: str) -> str:
    """In one spelling, whatever the browser's was."""
    pairs = parse_qsl(query.replace(NUL, "").lstrip("?"), keep_blank_values=True)
    text = urlencode([(name, value) for name, value in pairs if name not in ("page", "view")])
    if len(text) > QUERY_LIMIT:
        said = (
            f"The address of this view has {len(text)} characters; {QUERY_LIMIT} are kept. Choose fewer runs."
        )
        raise SharingError(said, "query")
    return text

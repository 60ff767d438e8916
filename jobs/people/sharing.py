"""Comments, saved views and reports.

Every change goes through this module. A user's mistake raises SharingError with the sentence to show.
"""

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
    """A change that is not allowed; `field` names the form field that shows the message."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def add_comment(run: Run, author: User, text: str) -> Comment:
    """Add a comment to a run and record the event. Raises SharingError."""
    with transaction.atomic():
        comment = Comment.objects.create(
            run=run, author=author, text=_text(text, COMMENT_LIMIT, "The comment")
        )
        RunEvent.objects.create(run=run, actor=author.get_username(), kind="run.commented")
    return comment


def change_comment(comment: Comment, author: User, text: str) -> None:
    """Change the text of a comment. Raises SharingError unless `author` wrote it."""
    if comment.author_id != author.pk:
        raise SharingError(f"Only {comment.author.get_username()} can change this comment.")
    Comment.objects.filter(id=comment.id).update(
        text=_text(text, COMMENT_LIMIT, "The comment"), changed_at=timezone.now()
    )


def delete_comment(comment: Comment, actor: User) -> None:
    """Delete a comment; its author, a lead of the team or an admin may. The run keeps an event of it."""
    if comment.author_id != actor.pk and not is_lead_or_admin(actor, comment.run.team):
        raise SharingError("Only its author or a lead of the team can delete a comment.")
    with transaction.atomic():
        Comment.objects.filter(id=comment.id).delete()
        text = f"A comment of {comment.author.get_username()}."
        RunEvent.objects.create(
            run=comment.run, actor=actor.get_username(), kind="run.comment_deleted", text=text
        )


def save_view(*, team: Team, owner: User, page: str, name: str, query: str) -> SavedView:
    """Create a view. Raises SharingError if the name is taken; nothing is replaced."""
    if page not in SavedPage.values:
        raise SharingError(f"Views of '{page}' cannot be saved.", "page")
    fields = {"name": _name(name), "query": _query(query)}
    try:
        with transaction.atomic():
            return SavedView.objects.create(team=team, owner=owner, page=page, **fields)
    except IntegrityError:
        message = (
            f"Your team already has a view '{fields['name']}' of this page. Choose another name or change it."
        )
        raise SharingError(message, "name") from None


def change_view(view: SavedView, *, actor: User, query: str) -> None:
    """Set the query of a view for everyone. Only its owner or a lead may."""
    _refuse_non_owner(view.owner, view.team, actor, "view")
    SavedView.objects.filter(id=view.id).update(query=_query(query), changed_at=timezone.now())


def delete_view(view: SavedView, *, actor: User) -> None:
    _refuse_non_owner(view.owner, view.team, actor, "view")
    SavedView.objects.filter(id=view.id).delete()


def create_report(*, team: Team, owner: User, title: str, text: str) -> Report:
    return Report.objects.create(
        team=team,
        owner=owner,
        title=_title(title),
        text=_text(text, REPORT_LIMIT, "The report", may_be_empty=True),
        changed_by=owner.get_username(),
    )


def change_report(report: Report, *, actor: User, title: str, text: str, base_version: int) -> None:
    """Change a report. Raises SharingError if its version is not `base_version`: no edit is overwritten."""
    rows = Report.objects.filter(id=report.id, version=base_version)
    changes = {"title": _title(title), "text": _text(text, REPORT_LIMIT, "The report", may_be_empty=True)}
    username = actor.get_username()
    if not rows.update(**changes, changed_by=username, changed_at=timezone.now(), version=F("version") + 1):
        current = Report.objects.get(id=report.id)
        raise SharingError(
            f"{current.changed_by} changed this report while you were editing. Your text is still below: open the "
            "report in another tab, copy what you need, then save again."
        )


def delete_report(report: Report, *, actor: User) -> None:
    _refuse_non_owner(report.owner, report.team, actor, "report")
    Report.objects.filter(id=report.id).delete()


def is_lead_or_admin(user: User, team: Team) -> bool:
    """Whether the user is a lead of the team or an admin."""
    return user.is_staff or Membership.objects.filter(user=user, team=team, role=Role.LEAD).exists()


def _refuse_non_owner(owner: User, team: Team, actor: User, kind: str) -> None:
    if owner.pk != actor.pk and not is_lead_or_admin(actor, team):
        raise SharingError(
            f"Only {owner.get_username()} or a lead of team {team.name} can change or delete this {kind}."
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


def _text(text: str, limit: int, subject: str, *, may_be_empty: bool = False) -> str:
    text = text.replace("\r\n", "\n").replace(NUL, "").strip()
    if not text and not may_be_empty:
        raise SharingError(f"{subject} is empty.", "text")
    if len(text) > limit:
        raise SharingError(f"{subject} has {len(text)} characters; the limit is {limit}.", "text")
    return text


def _query(query: str) -> str:
    """Normalise the spelling of a query."""
    pairs = parse_qsl(query.replace(NUL, "").lstrip("?"), keep_blank_values=True)
    text = urlencode([(name, value) for name, value in pairs if name not in ("page", "view")])
    if len(text) > QUERY_LIMIT:
        message = f"The address of this view has {len(text)} characters; the limit is {QUERY_LIMIT}. Choose fewer runs."
        raise SharingError(message, "query")
    return text

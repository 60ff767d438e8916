"""How people left a page: its query, to which the page comes back when they open it again."""

from __future__ import annotations

from django.contrib.auth.models import User

from jobs.models import LastQuery


def read(user: User, page: str) -> str:
    """The query with which the person last looked at a page; '' is the page as it comes."""
    return LastQuery.objects.filter(user=user, page=page).values_list("query", flat=True).first() or ""


def remember(user: User, page: str, query: str) -> None:
    """Writes only what has changed; a look at the same table again costs a read."""
    if read(user, page) != query:
        LastQuery.objects.update_or_create(user=user, page=page, defaults={"query": query})

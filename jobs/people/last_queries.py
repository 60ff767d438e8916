"""Last query of each page and user, restored when the page is opened again."""

from __future__ import annotations

from django.contrib.auth.models import User

from jobs.models import LastQuery


def get_last_query(user: User, page: str) -> str:
    """The query with which the user last opened a page; '' for none."""
    return LastQuery.objects.filter(user=user, page=page).values_list("query", flat=True).first() or ""


def store_last_query(user: User, page: str, query: str) -> None:
    """Store the query if it has changed; viewing the same table again costs one read."""
    if get_last_query(user, page) != query:
        LastQuery.objects.update_or_create(user=user, page=page, defaults={"query": query})

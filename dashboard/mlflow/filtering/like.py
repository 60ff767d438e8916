"""Lookups LIKE and ILIKE, the same on SQLite and PostgreSQL.

Django's own `contains` cannot: on SQLite it is never sensitive to case. GLOB is, and needs other wildcards.
"""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Lookup, TextField

GLOBS = str.maketrans({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"})


class Like(Lookup):
    lookup_name = "like"
    prepare_rhs = False
    postgresql, sqlite = "LIKE", "GLOB"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, values = self.process_lhs(compiler, connection)
        if connection.vendor == "sqlite":
            pattern = self.rhs.translate(GLOBS) if self.sqlite == "GLOB" else self.rhs
            return f"{column} {self.sqlite} %s", (*values, pattern)
        # Without an escape character, as on SQLite.
        return f"{column} {self.postgresql} %s ESCAPE ''", (*values, self.rhs)


class ILike(Like):
    lookup_name = "ilike"
    postgresql, sqlite = "ILIKE", "LIKE"


def is_like(text: str, pattern: str) -> bool:
    """LIKE for one text. Each % matches as little as possible, and only the last one is retried: the work is at most
    the product of the two lengths, while that of a regular expression grows exponentially with the wildcards."""
    at = place = 0
    star, mark = -1, 0  # the last % in the pattern, and the position in the text at which it was last retried
    while at < len(text):
        letter = pattern[place] if place < len(pattern) else ""
        if letter == "%":
            star, mark, place = place, at, place + 1
        elif letter and letter in ("_", text[at]):
            at, place = at + 1, place + 1
        elif star >= 0:
            mark, place = mark + 1, star + 1
            at = mark
        else:
            return False
    return not pattern[place:].strip("%")


def is_ilike(text: str, pattern: str) -> bool:
    return is_like(text.lower(), pattern.lower())


for kind in (CharField, TextField):
    kind.register_lookup(Like)
    kind.register_lookup(ILike)

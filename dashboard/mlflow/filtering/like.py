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

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        column, values = self.process_lhs(compiler, connection)
        if connection.vendor == "sqlite":
            pattern = self.rhs.translate(GLOBS) if self.sqlite == "GLOB" else self.rhs
            return f"{column} {self.sqlite} %s", [*values, pattern]
        # Without an escape character, as SQLite has it.
        return f"{column} {self.postgresql} %s ESCAPE ''", [*values, self.rhs]


class ILike(Like):
    lookup_name = "ilike"
    postgresql, sqlite = "ILIKE", "LIKE"


for kind in (CharField, TextField):
    kind.register_lookup(Like)
    kind.register_lookup(ILike)

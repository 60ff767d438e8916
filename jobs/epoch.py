"""Times as unix seconds, computed by the database: where thousands are read, making datetimes of them costs most."""

from __future__ import annotations

from typing import Any

from django.db.models import FloatField, Func


class Epoch(Func):
    """Unix seconds of a DateTimeField, to the microsecond; NULL stays None. 36,000 times: 20 ms of CPU instead of 110
    on SQLite, where Django keeps times as text."""

    output_field = FloatField()
    arity = 1

    def get_db_converters(self, connection: Any) -> list[Any]:
        return []  # both databases answer with a float; Django would call float() on each once more

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        # 'YYYY-MM-DD HH:MM:SS.ffffff': whole seconds, and the fraction if there is one. strftime alone would round
        # .9996 up to the next second.
        column, values = compiler.compile(self.source_expressions[0])
        seconds, fraction = f"strftime('%%s', substr({column}, 1, 19))", f"'0' || substr({column}, 20)"
        return f"({seconds} + ({fraction}) + 0.0)", [*values, *values]

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        column, values = compiler.compile(self.source_expressions[0])
        return f"extract(epoch from {column})::float8", values

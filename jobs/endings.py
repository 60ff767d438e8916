"""When what runs ends at the latest: by its time limit, counted from its first step."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Func, IntegerField
from django.db.models.functions import Coalesce

from jobs.models import Attempt


class _Epoch(Func):
    """Whole seconds since 1970, by the database: thousands of attempts are put in order there."""

    output_field = IntegerField()
    template = "CAST(EXTRACT(EPOCH FROM %(expressions)s) AS bigint)"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        sql, params = compiler.compile(self.source_expressions[0])
        return f"CAST(strftime(%s, {sql}) AS integer)", ("%s", *params)


# For order_by() on attempts. An attempt that has made no step yet counts from its assignment.
LATEST_END_S = _Epoch(Coalesce(F("started_at"), F("assigned_at"))) + F("job__time_limit_s")


def ends_by(attempt: Attempt) -> datetime:
    """At the latest; needs the attempt's job."""
    return (attempt.started_at or attempt.assigned_at) + timedelta(seconds=attempt.job.time_limit_s)

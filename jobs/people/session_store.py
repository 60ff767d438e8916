"""Sessions in the database that know their user.

Django's documented extension of its own database sessions.
"""

from __future__ import annotations

from typing import Any, cast

from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions

from jobs.models import UserSession


class SessionStore(DatabaseSessions):
    @classmethod
    def get_model_class(cls) -> type[UserSession]:
        return UserSession

    def create_model_instance(self, data: dict[str, Any]) -> UserSession:
        row = cast(UserSession, super().create_model_instance(data))
        user = str(data.get("_auth_user_id", ""))
        row.user_id = int(user) if user.isdigit() else None
        return row

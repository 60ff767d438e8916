"""Request type of views that need a logged-in user."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.http import HttpRequest


class UserRequest(HttpRequest):
    """A request of a logged-in user: LoginRequiredMiddleware lets no other request reach these views."""

    user: User

"""Logged-in browsers of the test users, and static files without collectstatic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from dashboard.pages.submit import spec_fields
from engine.spec.spec import Spec, flatten
from jobs.models import Attempt, Job, Node
from jobs.states.jobs import AttemptState, JobState


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> None:
    """Use the names of static files in the source. Hashed names have their own test."""
    plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": plain}


@pytest.fixture
def browser_of() -> Callable[[User], Client]:
    def browser(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return browser


@pytest.fixture
def owner_browser(owner: User, browser_of: Callable[[User], Client]) -> Client:
    return browser_of(owner)


@pytest.fixture
def viewer_browser(viewer: User, browser_of: Callable[[User], Client]) -> Client:
    return browser_of(viewer)


@pytest.fixture
def stranger_browser(stranger: User, browser_of: Callable[[User], Client]) -> Client:
    return browser_of(stranger)


@pytest.fixture
def make_attempt() -> Callable[..., Attempt]:
    """make_attempt(job, node): an attempt as the scheduler and the agent create it."""

    def make(job: Job, node: Node, number: int = 1, **fields: Any) -> Attempt:
        values = {"state": AttemptState.RUNNING} | fields
        return Attempt.objects.create(job=job, node=node, number=number, **values)

    return make


def fields_of(spec: Spec, **changes: str) -> dict[str, str]:
    """Return the form that a browser posts for a spec, without unticked switches. `model__layers="3"` sets a field."""
    texts = {
        path: spec_fields.FIELDS[path].text_of(value) for path, value in flatten(spec.model_dump()).items()
    }
    texts |= {path.replace("__", "."): text for path, text in changes.items()}
    posted = {
        path: text
        for path, text in texts.items()
        if spec_fields.FIELDS[path].kind != "switch" or text == "true"
    }
    return {"source": "fields", "yaml": "", **posted}


def set_state(job: Job, state: str, **fields: Any) -> Job:
    """Put a job into a state without running the processes that lead to it."""
    assert state in JobState.values
    Job.objects.filter(id=job.id).update(state=state, **fields)
    job.refresh_from_db()
    return job

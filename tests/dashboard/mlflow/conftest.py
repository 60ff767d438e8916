"""A server in a thread, and MLflow's unmodified client."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

import pytest
import uvicorn
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client

from jobs.models import Team
from jobs.people.api_tokens import create_token
from tests.running import free_port, wait_until

mlflow = pytest.importorskip("mlflow")

QUICK = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


@pytest.fixture
def server(transactional_db: None) -> Iterator[str]:
    """The ASGI application as `manage.py web` serves it."""
    config = uvicorn.Config(
        "dashboard.asgi:application", port=free_port(), lifespan="off", log_level="warning", access_log=False
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    wait_until(lambda: running.started, description="server")
    yield f"http://127.0.0.1:{config.port}"
    running.should_exit = True
    thread.join(10)
    idle = import_module("dashboard.asgi").request_threads.idle
    while idle:  # they would keep the test database open
        idle.pop().submit(connections.close_all).result()


@pytest.fixture
def token_of(team: Team) -> Callable[[User], str]:
    return lambda person: create_token(person, person.memberships.first().team, "test")


@pytest.fixture
def tracked(
    server: str, owner: User, token_of: Callable[[User], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """The module `mlflow`, logged in as the owner by MLFLOW_TRACKING_TOKEN."""
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token_of(owner))
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    mlflow.set_tracking_uri(server)
    mlflow.set_experiment(experiment_id="0")
    yield mlflow
    while mlflow.active_run():
        mlflow.end_run()


@dataclass
class Api:
    """Requests as any HTTP client would send them, without a server in between."""

    token: str
    browser: Client = field(default_factory=Client)

    def post(self, address: str, **body: Any) -> Any:
        return self.send("post", f"/api/2.0/mlflow/{address}", data=body, content_type="application/json")

    def get(self, address: str, **query: Any) -> Any:
        return self.send("get", f"/api/2.0/mlflow/{address}", data=query)

    def send(self, method: str, address: str, **options: Any) -> Any:
        return getattr(self.browser, method)(address, HTTP_AUTHORIZATION=f"Bearer {self.token}", **options)

    def new_run(self, **body: Any) -> str:
        return self.post("runs/create", **{"experiment_id": "0", **body}).json()["run"]["info"]["run_id"]


@pytest.fixture
def api_of(token_of: Callable[[User], str]) -> Callable[[User], Api]:
    return lambda person: Api(token_of(person))


@pytest.fixture
def api(owner: User, api_of: Callable[[User], Api]) -> Api:
    return api_of(owner)


@pytest.fixture
def client(tracked: Any) -> Any:
    return tracked.MlflowClient()

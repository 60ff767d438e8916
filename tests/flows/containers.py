"""The services of docker-compose.yml as real containers, with volumes, network and secrets of their own."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

from tests.flows.compose_file import COMPOSE, VARIABLES
from tests.running import ROOT, free_port, wait_until

START_LIMIT_S = 180.0
FINAL = ("succeeded", "failed", "cancelled")
CHANGING = ("heartbeat_at", "url", "verdict")  # fields of a run that move on by themselves


def compose_command() -> list[str]:
    """The plugin where Docker has it, else the program."""
    probe = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return ["docker", "compose"] if probe.returncode == 0 else [str(shutil.which("docker-compose"))]


@dataclass
class Containers:
    """One project of compose. Its images exist already (`docker compose build`)."""

    folder: Path
    project: str = field(default_factory=lambda: f"fourwalls-test-{os.getpid()}")
    port: int = field(default_factory=free_port)
    secrets: dict[str, str] = field(
        default_factory=lambda: {name: secrets.token_hex(24) for name in VARIABLES}
    )
    token: str = ""
    browser: urllib.request.OpenerDirector = field(
        default_factory=lambda: urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str, check: bool = True) -> str:
        values = self.secrets | {"PORT": str(self.port), "BASE_URL": self.url}
        done = subprocess.run(
            [*compose_command(), "-p", self.project, "-f", str(COMPOSE), *arguments],
            cwd=ROOT, env=os.environ | values, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def manage(self, *arguments: str) -> str:
        return self.compose("exec", "-T", "web", "python", "manage.py", *arguments)

    def up(self, *arguments: str) -> None:
        self.compose("up", "--detach", "--no-build", *arguments)
        wait_until(self.is_ready, START_LIMIT_S, "all services healthy and the node reachable")

    def container(self, service: str) -> str:
        return self.compose("ps", "-q", service).strip()

    def is_ready(self) -> bool:
        wanted = ("database", "broker", "web", "agent")
        shown = ["docker", "inspect", "-f", "{{.State.Health.Status}}", *map(self.container, wanted)]
        done = subprocess.run(shown, capture_output=True, text=True, check=False)
        if done.returncode or set(done.stdout.split()) != {"healthy"}:
            return False
        return any(node["is_reachable"] for node in self.get("/nodes")["items"])

    def log_in(self) -> str:
        """Follow a login link; returns the page that it leads to."""
        return self.page(self.manage("login").strip().removeprefix(self.url))

    def page(self, path: str) -> str:
        """A page as this session's browser sees it, after redirects."""
        with self.browser.open(self.url + path, timeout=60) as answer:
            return f"{answer.url}\n{answer.read().decode()}"

    def fetch(self, path: str, body: bytes | None = None) -> bytes:
        self.token = self.token or self.manage("token", "test").strip()
        request = urllib.request.Request(f"{self.url}/api/v1{path}", body)
        request.add_header("Authorization", f"Bearer {self.token}")
        request.add_header("Content-Type", "application/octet-stream")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    def get(self, path: str) -> Any:
        return json.loads(self.fetch(path))

    def submit(self, changes: list[str]) -> dict[str, Any]:
        return json.loads(self.manage("submit", "demo", "--json", *changes).splitlines()[0])

    def wait_for_end(self, job: str, limit_s: float = 300.0) -> dict[str, Any]:
        wait_until(lambda: self.get(f"/jobs/{job}")["state"] in FINAL, limit_s, f"the end of job {job}")
        return self.get(f"/jobs/{job}")

    def series(self, run: str, *metrics: str) -> dict[str, Any]:
        """Points by metric and source, each with its x, its values, and the steps that were repeated."""
        query = urllib.parse.urlencode({"metric": metrics, "points": 10_000}, doseq=True)
        found = self.get(f"/runs/{run}/series?{query}")["series"]
        return {
            f"{one['metric']}:{one['source']}": (one["x"], one["mean"], one["superseded"]) for one in found
        }

    def stored(self, run: str) -> dict[str, Any]:
        """Everything kept of an ended run: parameters, all points, logs, checkpoints, files by their content."""
        home = f"/runs/{run}"
        detail = {key: value for key, value in self.get(home).items() if key not in CHANGING}
        names = sorted({row["metric"] for row in self.get(f"{home}/metrics")["metrics"]})
        files = {
            one["path"]: hashlib.sha256(self.fetch(f"{home}/artefacts/{one['id']}")).hexdigest()
            for one in self.get(f"{home}/artefacts")["items"]
        }
        points: dict[str, Any] = {}
        for start in range(0, len(names), 10):
            points |= self.series(run, *names[start : start + 10])
        logs = self.get(f"{home}/logs?rank=0&lines=1000")["lines"] if detail["job"] else []
        return {
            "detail": detail, "points": points, "files": files, "logs": logs,
            "checkpoints": self.get(f"{home}/checkpoints"),
        }  # fmt: skip

    def everything(self) -> dict[str, Any]:
        """What must outlive the containers."""
        nodes = self.get("/nodes")["items"]
        return {
            "runs": {one["id"]: self.stored(one["id"]) for one in self.get("/runs?limit=100")["items"]},
            "datasets": self.get("/datasets")["items"],
            "nodes": {one["id"]: (one["name"], one["facts"]["machine_id"]) for one in nodes},
            "devices": sorted(device["id"] for one in nodes for device in one["devices"]),
        }

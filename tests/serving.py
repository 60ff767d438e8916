"""`manage.py web` on its own database, for tests from outside."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from tests.running import ROOT, free_port, wait_until


class Server:
    """A web server that can be killed and restarted on the same port.

    `database` is the URL of a PostgreSQL database; '' means SQLite in `home`.
    """

    def __init__(self, home: Path, database: str = "") -> None:
        self.home, self.port = home, free_port()
        outside = {
            k: v for k, v in os.environ.items() if not k.startswith(("DATABASE", "FOURWALLS", "BROKER"))
        }
        self.environment = outside | {
            "FOURWALLS_HOME": str(home),
            "DATABASE_URL": database,
            "BASE_URL": self.url,
            "DJANGO_SETTINGS_MODULE": "dashboard.settings",
            "LOG_LEVEL": "WARNING",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.manage("prepare")
        self.token = self.manage("token", "test").strip()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *, wait: bool = True) -> Server:
        command = [sys.executable, "manage.py", "web", "--port", str(self.port)]
        with (self.home / "web.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            wait_until(
                self.is_ready,
                description=f"the server answers; {(self.home / 'web.log').read_text()[-2000:]}",
            )
        return self

    def kill(self) -> None:
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()
        self.process = None

    def is_ready(self) -> bool:
        try:
            probe = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            probe.request("GET", "/login/")
            return probe.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, path: str) -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", f"/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        body = msgspec.json.decode(answer.read())
        assert answer.status == 200, body
        return body

    def points(self, run_id: str, metric: str = "loss") -> list[tuple[float, float]]:
        """Every point of a series, up to 10,000."""
        lines = self.get(f"/runs/{run_id}/series?metric={metric}&points=10000")["series"]
        return [pair for line in lines for pair in zip(line["x"], line["mean"], strict=True)]

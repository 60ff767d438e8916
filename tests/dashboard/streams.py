"""A web process, a writer in another process, and browsers that read the live stream."""

from __future__ import annotations

import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.running import ROOT, free_port, wait_until

LIMIT_S = 20.0

# Runs the code it gets, one JSON text per line, and returns the JSON of `answer`.
WRITER = """
import json, os, sys, time
import django
django.setup()
from django.contrib.auth.models import User
from django.test import Client
from jobs import series
from jobs.lifecycle import transitions
from jobs.models import *
from jobs.series import Point
scope = globals()
for line in sys.stdin:
    answer = None
    exec(compile(json.loads(line), "sent", "exec"), scope)
    print(json.dumps(scope.get("answer")), flush=True)
"""

PEOPLE = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
def person(name, team):
    user = User.objects.create_user(name)
    team, _ = Team.objects.get_or_create(name=team, slug=team)
    Membership.objects.create(user=user, team=team)
    browser = Client()
    browser.force_login(user)
    return [cookie.OutputString().split(";")[0] for cookie in browser.cookies.values()][0]
def job(owner, team):
    pool, _ = Pool.objects.get_or_create(name="default")
    team, owner = Team.objects.get(slug=team), User.objects.get(username=owner)
    made = Job.objects.create(team=team, owner=owner, pool=pool, name="j", spec={}, num_devices=1, num_steps=10,
                              state="running", attempt_number=1)
    return made, Run.objects.create(job=made, team=team, owner=owner, name="j")
answer = {name: person(name, team) for name, team in (("ann", "blue"), ("ben", "blue"), ("eve", "red"))}
"""


class Server:
    """The web process of Fourwalls without its other processes."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        environment = {
            **os.environ,
            "FOURWALLS_HOME": str(home),
            "DATABASE_URL": "",
            "DJANGO_SETTINGS_MODULE": "dashboard.settings",
            "SECRET_KEY": "only for this test",
        }
        self.writer = subprocess.Popen(
            [sys.executable, "-c", WRITER],
            cwd=ROOT,
            env=environment,
            text=True,
            stdin=-1,
            stdout=-1,
            bufsize=1,
        )
        self.cookies: dict[str, str] = self.do(PEOPLE)
        command = [
            "-m",
            "uvicorn",
            "dashboard.asgi:application",
            "--port",
            str(self.port),
            "--log-level",
            "warning",
        ]
        self.web = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment)
        wait_until(lambda: _answers(self.port), LIMIT_S)

    def do(self, code: str) -> Any:
        assert self.writer.stdin and self.writer.stdout
        self.writer.stdin.write(json.dumps(code) + "\n")
        return json.loads(self.writer.stdout.readline())

    def job(self, owner: str, team: str) -> tuple[str, str]:
        job_id, run_id = self.do(f"made = job({owner!r}, {team!r}); answer = [part.id for part in made]")
        return job_id, run_id

    def append(self, run_id: str, seq: int) -> float:
        """Append one batch and return the time of its commit."""
        return self.do(
            f"series.append({run_id!r}, 1, 'rank0', {seq}, [Point('loss', 'run', {seq}, 1.0, 2.0)]);"
            "answer = time.time()"
        )

    def stop(self) -> None:
        for process in (self.web, self.writer):
            process.kill()
            process.wait()


class Browser:
    """Reads one stream in a thread and fills `events` with (name, data, time of arrival)."""

    def __init__(self, server: Server, person: str, query: str = "") -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}/live{query}", headers={"Cookie": server.cookies[person]}
        )
        self.response = urllib.request.urlopen(request, timeout=LIMIT_S)
        assert self.response.headers["Content-Type"] == "text/event-stream"
        self.events: queue.Queue[tuple[str, dict[str, Any], float]] = queue.Queue()
        self.is_over = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        name = ""
        try:
            for line in self.response:
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                elif line.startswith(b"data: "):
                    self.events.put((name, json.loads(line[6:]), time.time()))
        except (OSError, ValueError, AttributeError):
            pass  # closed from this side
        self.is_over.set()

    def wait_for(self, name: str, **fields: Any) -> tuple[dict[str, Any], float]:
        """Return the next event of that name with these fields, and skip others."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            found, data, at = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            if found == name and fields.items() <= data.items():
                return data, at

    def received(self) -> list[tuple[str, dict[str, Any]]]:
        found = []
        while not self.events.empty():
            found.append(self.events.get()[:2])
        return found

    def close(self) -> None:
        # close() alone would wait for the reading thread, which waits for the server.
        self.response.fp.raw._sock.shutdown(socket.SHUT_RDWR)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

"""Real PostgreSQL and Redis servers of their own, in temporary folders, for the tests marked `services`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.running import free_port


def program(name: str) -> str:
    """The newest one under /usr/lib/postgresql, else the one on the path. Skips the test where there is none, unless
    FOURWALLS_REQUIRE_ALL is set."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(installed[-1]) if installed else shutil.which(name)
    if not found:
        (pytest.fail if os.environ.get("FOURWALLS_REQUIRE_ALL") else pytest.skip)(f"{name} is not installed")
    return found


def unprivileged() -> dict[str, object]:
    """PostgreSQL refuses to run as root: arguments for subprocess that make it run as somebody else."""
    if os.getuid():
        return {}
    user = next((name for name in ("postgres", "nobody") if _exists(name)), "nobody")
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": [], "cwd": "/"}


def _exists(user: str) -> bool:
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


class Postgresql:
    """A server whose data and socket lie in a folder of its own; it listens nowhere else."""

    def __init__(self) -> None:
        someone = unprivileged()
        self.folder = Path(tempfile.mkdtemp(prefix="fourwalls-postgresql-"))
        if "user" in someone:
            shutil.chown(self.folder, str(someone["user"]))
        self._data = self.folder / "data"
        self._run: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **someone}
        self._at = ["-h", str(self.folder), "-U", "fourwalls"]
        initdb = [program("initdb"), "-D", str(self._data), "-U", "fourwalls", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*initdb, "--no-sync"], check=True, **self._run)

    @property
    def url(self) -> str:
        return f"postgresql://fourwalls@{str(self.folder).replace('/', '%2F')}/fourwalls"

    @property
    def pid(self) -> int | None:
        """Of the postmaster, as it wrote it; None while there is none."""
        try:
            return int((self._data / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError):
            return None

    def start(self) -> bool:
        """False when it does not come up, as just after kill -9 while its children are still leaving."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        log = self.folder / "log"
        return not subprocess.run(
            [*self._pg_ctl("start"), "-o", options, "-l", str(log)], check=False, **self._run
        ).returncode

    def cpu_s(self) -> float:
        """CPU seconds of the postmaster and of all its children, also of those that have ended by now."""
        postmaster = psutil.Process(self.pid)
        own = postmaster.cpu_times()
        there = (process.cpu_times() for process in (postmaster, *postmaster.children()))
        return own.children_user + own.children_system + sum(times.user + times.system for times in there)

    def create(self) -> None:
        subprocess.run([program("createdb"), *self._at, "fourwalls"], check=True, **self._run)

    def close(self) -> None:
        subprocess.run([*self._pg_ctl("stop"), "-m", "immediate"], check=False, **self._run)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pg_ctl(self, verb: str) -> list[str]:
        return [program("pg_ctl"), "-D", str(self._data), "-w", verb]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty database in a server of its own."""
    server = Postgresql()
    try:
        assert server.start(), (server.folder / "log").read_text()
        server.create()
        yield server.url
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis (or Valkey) of its own on a free loopback port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fourwalls-redis-") as folder:
        command = [
            program("redis-server"),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            folder,
            "--save",
            "",
        ]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()

"""Real PostgreSQL and Redis servers in temporary folders, for tests marked `services`."""

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


def find_program(name: str) -> str:
    """The newest program under /usr/lib/postgresql, else the one on the path.

    Skips the test if there is none, or fails it if FOURWALLS_REQUIRE_ALL is set.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(installed[-1]) if installed else shutil.which(name)
    if not found:
        (pytest.fail if os.environ.get("FOURWALLS_REQUIRE_ALL") else pytest.skip)(f"{name} is not installed")
    return found


def unprivileged_user() -> dict[str, object]:
    """Arguments of subprocess that run it as an unprivileged user, since PostgreSQL refuses to run as root."""
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
    """A server with data and socket in its own folder; it listens nowhere else."""

    def __init__(self) -> None:
        run_as = unprivileged_user()
        self.folder = Path(tempfile.mkdtemp(prefix="fourwalls-postgresql-"))
        if "user" in run_as:
            shutil.chown(self.folder, str(run_as["user"]))
        self._data = self.folder / "data"
        self._run: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **run_as}
        self._connection_options = ["-h", str(self.folder), "-U", "fourwalls"]
        initdb = [
            find_program("initdb"),
            "-D",
            str(self._data),
            "-U",
            "fourwalls",
            "-A",
            "trust",
            "-E",
            "UTF8",
        ]
        subprocess.run([*initdb, "--no-sync"], check=True, **self._run)

    @property
    def url(self) -> str:
        return f"postgresql://fourwalls@{str(self.folder).replace('/', '%2F')}/fourwalls"

    @property
    def pid(self) -> int | None:
        """Pid of the postmaster from its file; None if there is none."""
        try:
            return int((self._data / "postmaster.pid").read_text().splitlines()[0])
        except (FileNotFoundError, IndexError):
            return None

    def start(self) -> bool:
        """Return False if the server does not start, for example while children of a killed one are still ending."""
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        log = self.folder / "log"
        return not subprocess.run(
            [*self._pg_ctl("start"), "-o", options, "-l", str(log)], check=False, **self._run
        ).returncode

    def cpu_s(self) -> float:
        """CPU seconds of the postmaster and all its children, including ended ones."""
        postmaster = psutil.Process(self.pid)
        postmaster_times = postmaster.cpu_times()
        process_times = (process.cpu_times() for process in (postmaster, *postmaster.children()))
        return (
            postmaster_times.children_user
            + postmaster_times.children_system
            + sum(times.user + times.system for times in process_times)
        )

    def create_database(self) -> None:
        subprocess.run(
            [find_program("createdb"), *self._connection_options, "fourwalls"], check=True, **self._run
        )

    def close(self) -> None:
        subprocess.run([*self._pg_ctl("stop"), "-m", "immediate"], check=False, **self._run)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _pg_ctl(self, verb: str) -> list[str]:
        return [find_program("pg_ctl"), "-D", str(self._data), "-w", verb]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URL of an empty database in a server of its own."""
    server = Postgresql()
    try:
        assert server.start(), (server.folder / "log").read_text()
        server.create_database()
        yield server.url
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """URL of a Redis or Valkey server on a free loopback port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="fourwalls-redis-") as folder:
        command = [
            find_program("redis-server"),
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

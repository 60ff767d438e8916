"""Real PostgreSQL and Redis servers of their own, in temporary folders, for the tests marked `services`."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import free_port


def program(name: str) -> str:
    """The newest one under /usr/lib/postgresql, else the one on the path. Skips the test where there is none, unless
    HEADROOM_REQUIRE_ALL is set."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    found = str(installed[-1]) if installed else shutil.which(name)
    if not found:
        (pytest.fail if os.environ.get("HEADROOM_REQUIRE_ALL") else pytest.skip)(f"{name} is not installed")
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


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty database in a cluster that listens only on a socket in its own folder."""
    someone = unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="headroom-postgresql-"))
    if "user" in someone:
        shutil.chown(folder, str(someone["user"]))
    data = folder / "data"
    run = {"check": True, "stdout": subprocess.DEVNULL, **someone}
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    pg_ctl = [program("pg_ctl"), "-D", str(data), "-w"]
    try:
        subprocess.run(
            [program("initdb"), "-D", str(data), "-U", "headroom", "-A", "trust", "-E", "UTF8", "--no-sync"],
            **run,
        )
        subprocess.run([*pg_ctl, "-o", options, "-l", str(folder / "log"), "start"], **run)
        try:
            subprocess.run([program("createdb"), "-h", str(folder), "-U", "headroom", "headroom"], **run)
            yield f"postgresql://headroom@{str(folder).replace('/', '%2F')}/headroom"
        finally:
            subprocess.run([*pg_ctl, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis (or Valkey) of its own on a free loopback port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="headroom-redis-") as folder:
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

"""Checks before the start: Python version, disk space, port.

`make` runs this file with the system's Python, so it uses the standard library only.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

INSTALL_BYTES = 3 * 1024**3  # torch's CPU build and the rest, unpacked, with pip's temporary copies
RUN_BYTES = 200 * 1024**2


class PreflightError(Exception):
    """A condition for the start does not hold; the message is a sentence with the way out."""


def check_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036  (any Python may run this file)
        found = ".".join(map(str, sys.version_info[:3]))
        raise PreflightError(
            f"Fourwalls needs Python 3.11 or newer; this is {found}. Try: make run PYTHON=python3.11"
        )
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise PreflightError(
            "This Python cannot make virtual environments (ensurepip is missing). "
            "On Debian or Ubuntu: apt install python3-venv"
        )


def check_folder(folder: Path, need_bytes: int) -> None:
    """Raise PreflightError if the folder cannot be made or written, or its disk is nearly full."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise PreflightError(f"Cannot write in {folder}: {error.strerror}.") from None
    free = shutil.disk_usage(folder).free
    if free < need_bytes:
        raise PreflightError(
            f"The disk that holds {folder} is nearly full: {free / 1024**2:,.0f} MiB are free, "
            f"{need_bytes / 1024**2:,.0f} MiB are needed."
        )


def check_port(host: str, port: int) -> None:
    """Raise PreflightError if the port is in use or not allowed."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PreflightError(
                f"Port {port} on {host} cannot be used ({error.strerror}). "
                f"Stop what uses it, or choose another: make run PORT={port + 1}"
            ) from None


def main() -> int:
    try:
        check_python()
        check_folder(Path.cwd(), INSTALL_BYTES)
    except PreflightError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

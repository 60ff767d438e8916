"""Environment of a run: git commit and diff, packages, command, Python and host."""

from __future__ import annotations

import getpass
import logging
import os
import platform
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

GIT_S = 10.0
DIFF_BYTES = 5_000_000
VALUE_CHARS = 2_000
HIDDEN = "***"
PASSWORD = re.compile(r"(?P<scheme>[a-z+]+://)[^/@\s]+@", re.IGNORECASE)  # in a remote's address
SECRET = re.compile(r"(token|passw(or)?d|secret|api[-_]?key|credential)", re.IGNORECASE)

log = logging.getLogger("fourwalls")


def record_in_background(
    send: Callable[[str, dict[str, Any]], None], save: Callable[[str, bytes], None]
) -> threading.Thread:
    """Send the facts and save `code/diff.patch` and `code/requirements.txt`, in a thread."""
    command, folder = describe_command(), Path.cwd()

    def work() -> None:
        try:
            facts = read_facts(command, folder)
            diff = facts.pop("diff", b"")
            packages = list_packages()
            send("environment", {"facts": facts, "packages": packages})
            if diff:
                save("code/diff.patch", diff)
            save("code/requirements.txt", "".join(f"{one}\n" for one in packages).encode())
        except Exception as error:  # noqa: BLE001 - the run continues without its environment
            log.debug("The environment was not recorded: %r", error)

    thread = threading.Thread(target=work, name="fourwalls-environment", daemon=True)
    thread.start()
    return thread


def read_facts(command: str, folder: Path) -> dict[str, Any]:
    """Facts by name; what cannot be had is left out, with its reason where somebody would miss it."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    facts: dict[str, Any] = {
        "command": command,
        "folder": str(folder),
        "script": str(script or ""),
        "python": platform.python_version(),
        "interpreter": sys.executable or "",
        "host": socket.gethostname(),
        "system": platform.platform(),
        "user": _user(),
        **read_git(Path(script).resolve().parent if script else folder),
    }
    facts.update(_framework_versions())
    return {
        name: value[:VALUE_CHARS] if isinstance(value, str) else value
        for name, value in facts.items()
        if value
    }


def describe_command() -> str:
    """The command line with secrets left out."""
    words = hide_secrets(getattr(sys, "orig_argv", None) or [sys.executable or "python", *sys.argv])
    return " ".join(shlex.quote(word) if word != HIDDEN else word for word in words)


def hide_secrets(given: list[str]) -> list[str]:
    """Words of a command line without the values of options such as --api-key, and without passwords in addresses."""
    words: list[str] = []
    hides_next = False
    for word in given:
        name, sign, _ = word.partition("=")
        if hides_next and not word.startswith("-"):
            word = HIDDEN
        elif sign and SECRET.search(name):
            word = f"{name}={HIDDEN}"
        hides_next = not sign and word.startswith("-") and bool(SECRET.search(word))
        words.append(PASSWORD.sub(rf"\g<scheme>{HIDDEN}@", word))
    return words


def read_git(folder: Path) -> dict[str, Any]:
    """Commit, branch, remote and the changes against the commit, as `git` reports them; {} outside a repository."""
    commit = _git(folder, "rev-parse", "HEAD")
    if commit is None:
        return {}
    diff = _git_bytes(folder, "diff", "HEAD", "--no-ext-diff", "--no-color", "--submodule=log") or b""
    untracked = _git(folder, "ls-files", "--others", "--exclude-standard") or ""
    found: dict[str, Any] = {
        "git_commit": commit,
        "git_branch": _git(folder, "symbolic-ref", "--short", "-q", "HEAD"),
        "git_remote": PASSWORD.sub(r"\g<scheme>", _git(folder, "config", "--get", "remote.origin.url") or ""),
        "git_state": "changed" if diff.strip() else "clean",
        "git_untracked": len(untracked.splitlines()),
    }
    if len(diff) > DIFF_BYTES:
        found["git_state"] = f"changed; a diff of {len(diff):,} bytes is not kept"
    elif diff.strip():
        found["diff"] = diff
    return found


def list_packages() -> list[str]:
    """The installed packages, as a requirements file names them."""
    from importlib import metadata

    found = set()
    for one in metadata.distributions():
        name = one.metadata["Name"] if one.metadata else None
        if name:
            found.add(f"{name}=={one.version}")
    return sorted(found, key=str.lower)


def _framework_versions() -> dict[str, str]:
    """Of what the script has imported; nothing is imported for this."""
    found = {}
    for name in ("torch", "tensorflow", "jax", "transformers", "lightning", "deepspeed", "numpy"):
        version = getattr(sys.modules.get(name), "__version__", None)
        if version:
            found[name] = str(version)
    cuda = getattr(getattr(sys.modules.get("torch"), "version", None), "cuda", None)
    return {**found, "cuda": str(cuda)} if cuda else found


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # containers without an entry for the user
        return ""


def _git(folder: Path, *words: str) -> Optional[str]:
    found = _git_bytes(folder, *words)
    return None if found is None else found.decode("utf-8", "replace").strip()


def _git_bytes(folder: Path, *words: str) -> Optional[bytes]:
    variables = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        command = ["git", "-C", str(folder), *words]
        done = subprocess.run(command, env=variables, timeout=GIT_S, check=False, **quiet)  # type: ignore[call-overload]
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None

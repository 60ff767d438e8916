"""docker-compose.yml and Dockerfile as values, for tests that read them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from tests.running import ROOT

COMPOSE = ROOT / "docker-compose.yml"
VARIABLES = {"POSTGRES_PASSWORD": "unused", "BROKER_PASSWORD": "unused-too", "SECRET_KEY": "s" * 50}
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)([^}]*)\}")
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Mount:
    """A volume of a service."""

    volume: str
    target: str
    is_writable: bool


def fill(text: str) -> str:
    """Replace ${VARIABLE:-default} and ${VARIABLE:?message} as compose does, with the values of VARIABLES."""

    def value(match: re.Match[str]) -> str:
        name, rest = match.groups()
        return VARIABLES.get(name) or (rest[2:] if rest.startswith(":-") else "")

    return VARIABLE.sub(value, text)


@cache
def document() -> dict[str, Any]:
    return yaml.safe_load(fill(COMPOSE.read_text()))


def services() -> dict[str, dict[str, Any]]:
    return document()["services"]


def own_services() -> dict[str, dict[str, Any]]:
    """The services that run one of our images."""
    return {name: one for name, one in services().items() if one["image"].startswith("fourwalls")}


def mounts(service: str) -> list[Mount]:
    rows = [text.split(":") for text in services()[service].get("volumes", [])]
    return [Mount(volume, target, options != ["ro"]) for volume, target, *options in rows]


def seconds(duration: str) -> float:
    """A duration such as 1m30s."""
    return sum(float(number) * SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(ms|s|m|h)", duration))


@cache
def settings_of(service: str) -> dict[str, Any]:
    """Django's settings under the environment of a service: paths as text, and numbers."""
    own = {key: str(value) for key, value in services()[service]["environment"].items()}
    script = (
        "import json, pathlib; from dashboard import settings as s; "
        "print(json.dumps({k: str(v) if isinstance(v, pathlib.Path) else v for k, v in vars(s).items() "
        "if k.isupper() and isinstance(v, (pathlib.Path, str, int, float))}))"
    )
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("FOURWALLS_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=inherited | own,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@cache
def stages() -> dict[str, list[str]]:
    """Instructions of each stage of the Dockerfile, with those of the stages it is built on."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE))
    found: dict[str, list[str]] = {}
    name = ""
    for line in filter(None, (line.strip() for line in text.splitlines())):
        if start := re.fullmatch(r"FROM (\S+) AS (\S+)", line):
            name = start[2]
            found[name] = list(found.get(start[1], []))
        else:
            found[name].append(line)
    return found


def own_folders(stage: str) -> dict[str, tuple[str, int]]:
    """Folder -> (owner, mode) of every folder that `install -d` makes in the image."""
    made: dict[str, tuple[str, int]] = {}
    for line in stages()[stage]:
        for command in re.split(r"&&|;", line.removeprefix("RUN ")):
            words = shlex.split(command)
            if words[:2] == ["install", "-d"]:
                options = dict(zip(words[2::2], words[3::2], strict=False))
                made |= {word: (options["-o"], int(options["-m"], 8)) for word in words if word[0] == "/"}
    return made


def target_of(service: str) -> str:
    """The stage of the Dockerfile that the service's image is built from."""
    image = services()[service]["image"]
    return next(
        one["build"]["target"] for one in services().values() if one["image"] == image and "build" in one
    )

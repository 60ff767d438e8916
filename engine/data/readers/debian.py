"""Descriptions of Debian's packages, in English and translated, as apt keeps them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from engine.data.examples import Example

LISTS = Path("/var/lib/apt/lists")
READER = "/usr/lib/apt/apt-helper"  # apt's own, which reads every compression it keeps lists in
LIMIT_S = 120


def summaries(lists: Path = LISTS) -> Iterator[Example]:
    """Long descriptions and the one line that stands for them."""
    for _, (short, long) in sorted(_described("en", lists).items()):
        if long:
            yield Example(long, short)


def translated(language: str, lists: Path = LISTS) -> Iterator[Example]:
    """Paragraphs of descriptions in English and in another language; where their numbers differ, nothing tells which
    belong together."""
    english, other = _described("en", lists), _described(language, lists)
    for key in sorted(english.keys() & other.keys()):
        (short, long), (other_short, other_long) = english[key], other[key]
        yield Example(short, other_short)
        parts, other_parts = long.split("\n\n"), other_long.split("\n\n")
        if long and len(parts) == len(other_parts):
            yield from map(Example, parts, other_parts)


def versions(lists: Path = LISTS) -> str:
    return " ".join(f"{path.name}:{path.stat().st_size}" for path in sorted(lists.glob("*_Translation-*")))


def absent(*languages: str, lists: Path = LISTS) -> str:
    missing = [one for one in languages if not list(lists.glob(f"*_Translation-{one}*"))]
    if not missing and Path(READER).exists():
        return ""
    return (
        "This corpus is not on this machine: it reads the package descriptions that apt keeps on Debian. "
        f"`apt-get update -o Acquire::Languages={','.join(languages)}` brings them (20 MB)."
    )


def _described(language: str, lists: Path) -> dict[str, tuple[str, str]]:
    """Checksum of the English description -> (one line, paragraphs)."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(lists.glob(f"*_Translation-{language}*")):
        command = [READER, "cat-file", str(path)]
        text = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S).stdout.decode()
        for stanza in text.split("\n\n"):
            key, short, long = _fields(stanza, language)
            if key and short:
                found[key] = (short, long)
    return found


def _fields(stanza: str, language: str) -> tuple[str, str, str]:
    """The checksum, the one line and the paragraphs, whose lines are joined."""
    key = short = ""
    paragraphs: list[list[str]] = [[]]
    for line in stanza.split("\n"):
        if line.startswith("Description-md5: "):
            key = line.partition(": ")[2]
        elif line.startswith(f"Description-{language}: "):
            short = line.partition(": ")[2].strip()
        elif line == " .":
            paragraphs.append([])
        elif line.startswith(" "):
            paragraphs[-1].append(line.strip())
    return key, short, "\n\n".join(" ".join(lines) for lines in paragraphs if lines)

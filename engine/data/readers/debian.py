"""Debian package descriptions, in English and translated, from apt's lists."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from engine.data.examples import Example

LISTS = Path("/var/lib/apt/lists")
READER = "/usr/lib/apt/apt-helper"  # apt's own reader, which knows every compression that apt uses
LIMIT_S = 120


def read_summaries(lists: Path = LISTS) -> Iterator[Example]:
    """Yield long descriptions with their one-line summary."""
    for _, (short, long) in sorted(_read_descriptions("en", lists).items()):
        if long:
            yield Example(long, short)


def read_translations(language: str, lists: Path = LISTS) -> Iterator[Example]:
    """Yield paragraphs of descriptions in English and in another language.

    Only the summary is used where the numbers of paragraphs differ, since they cannot be matched.
    """
    english, other = _read_descriptions("en", lists), _read_descriptions(language, lists)
    for key in sorted(english.keys() & other.keys()):
        (short, long), (other_short, other_long) = english[key], other[key]
        yield Example(short, other_short)
        parts, other_parts = long.split("\n\n"), other_long.split("\n\n")
        if long and len(parts) == len(other_parts):
            yield from map(Example, parts, other_parts)


def describe_versions(lists: Path = LISTS) -> str:
    """Return names and sizes of apt's lists."""
    return " ".join(f"{path.name}:{path.stat().st_size}" for path in sorted(lists.glob("*_Translation-*")))


def missing_reason(*languages: str, lists: Path = LISTS) -> str:
    """Return why the corpus is not on this machine and how to install it; empty if it is available."""
    missing = [one for one in languages if not list(lists.glob(f"*_Translation-{one}*"))]
    if not missing and Path(READER).exists():
        return ""
    return (
        "This corpus is not on this machine: it reads the package descriptions that apt keeps on Debian. "
        f"`apt-get update -o Acquire::Languages={','.join(languages)}` downloads them (20 MB)."
    )


def _read_descriptions(language: str, lists: Path) -> dict[str, tuple[str, str]]:
    """Return checksum of the English description -> (summary, paragraphs)."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(lists.glob(f"*_Translation-{language}*")):
        command = [READER, "cat-file", str(path)]
        text = subprocess.run(command, capture_output=True, check=True, timeout=LIMIT_S).stdout.decode()
        for stanza in text.split("\n\n"):
            key, short, long = _parse_stanza(stanza, language)
            if key and short:
                found[key] = (short, long)
    return found


def _parse_stanza(stanza: str, language: str) -> tuple[str, str, str]:
    """Return checksum, summary, and paragraphs with their lines joined."""
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

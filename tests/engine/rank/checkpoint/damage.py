"""Damages of a checkpoint folder, drawn from a seed."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
VALUES: tuple[Any, ...] = (None, True, -1, 0, 7, 2.5, "", "text", [], [1], {}, {"a": 1}, 10**30, "9" * 50)

Damage = Callable[[Path, Path, random.Random], None]  # damaged checkpoint, the one before


def _pick(folder: Path, draw: random.Random, pattern: str = "*") -> Path:
    return draw.choice(sorted(path for path in folder.glob(pattern) if path.is_file()))


def flip_bit(newest: Path, before: Path, draw: random.Random) -> None:
    path = _pick(newest, draw)
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def flip_bit_of_header(newest: Path, before: Path, draw: random.Random) -> None:
    path = _pick(newest, draw, "rank*")
    content = bytearray(path.read_bytes())
    content[draw.randrange(8 + int.from_bytes(content[:8], "little"))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def truncate(newest: Path, before: Path, draw: random.Random) -> None:
    path = _pick(newest, draw)
    path.write_bytes(path.read_bytes()[: draw.randrange(path.stat().st_size)])


def append_bytes(newest: Path, before: Path, draw: random.Random) -> None:
    path = _pick(newest, draw, "rank*")
    path.write_bytes(path.read_bytes() + draw.randbytes(draw.randrange(1, 99)))


def zero_block(newest: Path, before: Path, draw: random.Random) -> None:
    path = _pick(newest, draw)
    content = bytearray(path.read_bytes())
    start = draw.randrange(len(content))
    block = content[start : start + 4096]
    content[start : start + 4096] = bytes(len(block))
    path.write_bytes(content)


def delete_file(newest: Path, before: Path, draw: random.Random) -> None:
    _pick(newest, draw).unlink()


def empty_file(newest: Path, before: Path, draw: random.Random) -> None:
    _pick(newest, draw).write_bytes(b"")


def directory_in_place_of_file(newest: Path, before: Path, draw: random.Random) -> None:
    path = _pick(newest, draw)
    path.unlink()
    path.mkdir()


def dangling_link(newest: Path, before: Path, draw: random.Random) -> None:
    path = _pick(newest, draw)
    path.unlink()
    path.symlink_to(newest / "nothing")


def swap_with_the_one_before(newest: Path, before: Path, draw: random.Random) -> None:
    path = _pick(newest, draw)
    shutil.copyfile(before / path.name, path)


def swap_rank_files(newest: Path, before: Path, draw: random.Random) -> None:
    files = sorted(newest.glob("rank*"))
    first, second = files[0], files[-1]
    content = first.read_bytes()
    first.write_bytes(second.read_bytes() if second != first else content[::-1])
    if second != first:
        second.write_bytes(content)


def remove_rank_from_disk_and_manifest(newest: Path, before: Path, draw: random.Random) -> None:
    victim = _pick(newest, draw, "rank*")
    victim.unlink()
    manifest = json.loads((newest / MANIFEST).read_text())
    for field in ("files", "checksums"):
        manifest.get(field, {}).pop(victim.name, None)
    (newest / MANIFEST).write_text(json.dumps(manifest))


def _edit(newest: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((newest / MANIFEST).read_text())
    change(manifest)
    (newest / MANIFEST).write_text(json.dumps(manifest))


def edit_field(newest: Path, before: Path, draw: random.Random) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest[draw.choice(sorted(manifest))] = draw.choice(VALUES)

    _edit(newest, change)


def edit_nested_field(newest: Path, before: Path, draw: random.Random) -> None:
    def change(manifest: dict[str, Any]) -> None:
        part = manifest[draw.choice([name for name in sorted(manifest) if isinstance(manifest[name], dict)])]
        part[draw.choice([*sorted(part), "added", "../up", ""])] = draw.choice(VALUES)

    _edit(newest, change)


def delete_field(newest: Path, before: Path, draw: random.Random) -> None:
    _edit(newest, lambda manifest: manifest.pop(draw.choice(sorted(manifest))))


def another_step(newest: Path, before: Path, draw: random.Random) -> None:
    _edit(newest, lambda manifest: manifest.update(step=manifest["step"] + draw.choice([-1, 1, 1000])))


def no_json(newest: Path, before: Path, draw: random.Random) -> None:
    texts = (
        b"",
        b"[]",
        b"null",
        b"not json",
        b"\xff\xfe{",
        b"[" * 100_000,
        b'{"format": 2, "format": 2}',
        b"7" * 9999,
    )
    (newest / MANIFEST).write_bytes(draw.choice(texts))


DAMAGES: tuple[Damage, ...] = (
    flip_bit, flip_bit_of_header, truncate, append_bytes, zero_block, delete_file, empty_file,
    directory_in_place_of_file, dangling_link, swap_with_the_one_before, swap_rank_files,
    remove_rank_from_disk_and_manifest, edit_field, edit_nested_field, delete_field, another_step, no_json,
)  # fmt: skip
# Damages that change values and not the form of a file: nothing shows them in a checkpoint without checksums.
INVISIBLE = (
    flip_bit, flip_bit_of_header, zero_block, swap_with_the_one_before, swap_rank_files, edit_field, edit_nested_field,
    delete_field,
)  # fmt: skip


def remove_checksums(checkpoint: Path) -> None:
    """Turn a checkpoint into one of a version before checksums and counters."""

    def change(manifest: dict[str, Any]) -> None:
        for field in ("checksums", "checksum", "counters"):
            manifest.pop(field)

    _edit(checkpoint, change)

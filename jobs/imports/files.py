"""Files of a store: listing without following links, and reading within a limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from jobs.imports.foreign import ImportProblems, ImportRefused

TEXT_BYTES = 1024 * 1024


class StoreFiles:
    """The files below a folder. A link that leads outside is not followed and becomes a problem; a link to a folder
    inside is passed over, because the folder itself is read."""

    def __init__(self, root: Path, problems: ImportProblems) -> None:
        self.root, self.problems = root, problems
        self._inside = root.resolve()

    def scan(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """(folders, files) of a folder, sorted; both empty for a folder that is not there."""
        folders, files = [], []
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            return [], []
        except OSError as error:
            self.problems.add(folder, f"cannot be listed: {error.strerror}")
            return [], []
        for entry in entries:
            path = Path(entry.path)
            if entry.is_symlink():
                if self._is_file_inside(path):
                    files.append(path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.is_file(follow_symlinks=False):
                files.append(path)
        return folders, files

    def walk(self, folder: Path) -> Iterator[tuple[Path, list[Path]]]:
        """(folder, files) of a folder and all folders below it, in alphabetical order."""
        waiting = [folder]
        while waiting:
            current = waiting.pop()
            folders, files = self.scan(current)
            yield current, files
            waiting += reversed(folders)

    def below(self, folder: Path) -> Iterator[Path]:
        for _, files in self.walk(folder):
            yield from files

    def read_text(self, path: Path, limit: int = TEXT_BYTES) -> str:
        """The text of a file in UTF-8. Raises ImportRefused."""
        try:
            with path.open("rb") as file:
                data = file.read(limit + 1)
        except OSError as error:
            raise ImportRefused(f"{path} cannot be read: {error.strerror}.") from None
        if len(data) > limit:
            raise ImportRefused(f"{path} is larger than {limit:,} bytes.")
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise ImportRefused(f"{path} is not UTF-8 text (byte {error.start}).") from None

    def _is_file_inside(self, link: Path) -> bool:
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):
            self.problems.add(link, "is a link that leads nowhere and was not followed")
            return False
        if not target.is_relative_to(self._inside):
            self.problems.add(link, "is a link out of the store and was not followed")
            return False
        return target.is_file()

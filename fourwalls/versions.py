"""Artifacts: named sets of files with versions."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from fourwalls import values
from fourwalls.artefacts import clean_path
from fourwalls.media.base import Media

if TYPE_CHECKING:
    from fourwalls.read_api import VersionRecord
    from fourwalls.saving_run import SavingRun

FILES = 10_000

log = logging.getLogger("fourwalls")


class Artifact:
    """Files to log under a name, or, from use_artifact(), the files of a logged version."""

    def __init__(
        self, name: str, type: str = "", description: Optional[str] = None, metadata: Any = None, **_: Any
    ) -> None:
        self.name, self.type = values.to_text(name), values.to_text(type)
        self.description = description or ""
        self.metadata: dict[str, Any] = dict(metadata) if isinstance(metadata, Mapping) else {}
        self.files_by_name: dict[str, Path] = {}
        self.references: dict[str, str] = {}
        self._folder: Optional[Path] = None
        self._record: Optional[VersionRecord] = None

    @property
    def version(self) -> str:
        """v0, v1, ...; 'latest' for one that this process has logged, whose number the server gives later."""
        return self._record.version if self._record else "latest"

    @property
    def aliases(self) -> list[str]:
        return list(self._record.aliases) if self._record else []

    def add_file(self, local_path: Any, name: Optional[str] = None, **_: Any) -> None:
        try:
            path = Path(local_path)
            if not path.is_file():
                raise FileNotFoundError(f"{local_path} is no file")
            self.files_by_name[clean_path(name or path.name)] = path
        except (OSError, TypeError, ValueError) as error:
            log.error("Not added to %s: %s.", self.name, error)

    def add_dir(self, local_path: Any, name: Optional[str] = None, **_: Any) -> None:
        try:
            folder = Path(local_path)
            found = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        except (OSError, TypeError, ValueError) as error:
            log.error("Not added to %s: %s.", self.name, error)
            return
        for path in found[:FILES]:
            inner = path.relative_to(folder).as_posix()
            self.add_file(path, f"{name.strip('/')}/{inner}" if name else inner)
        if not found or len(found) > FILES:
            log.error("Of %s, %d files of %d were added.", local_path, min(len(found), FILES), len(found))

    def add_reference(self, uri: Any, name: Optional[str] = None, **_: Any) -> None:
        """Keep the address of a file, without its content."""
        text = values.to_text(uri)
        self.references[clean_path(name or text.rstrip("/").rpartition("/")[2] or "reference")] = text

    def new_file(self, name: str, mode: str = "w", encoding: Optional[str] = None) -> Any:
        """An open file that belongs to the artifact."""
        path = self._scratch() / clean_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.files_by_name[clean_path(name)] = path
        return path.open(mode, encoding=encoding or (None if "b" in mode else "utf-8"))

    def add(self, item: Any, name: str, **_: Any) -> None:
        """Add a table or another medium as files."""
        if not isinstance(item, Media):
            log.error("Not added to %s: %r is no medium.", self.name, type(item).__name__)
            return
        stored: list[str] = []

        def store(content: Any, extension: str) -> str:
            stored.append(
                clean_path(f"{name}.{extension}" if not stored else f"{name}-{len(stored)}.{extension}")
            )
            path = self._scratch() / stored[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else Path(content).read_bytes())
            self.files_by_name[stored[-1]] = path
            return stored[-1]

        described = item.describe(store)
        if not stored:
            store(json.dumps(described).encode(), "json")

    def download(self, root: Any = None, **_: Any) -> str:
        """The folder with the files: of a logged version they are fetched first. Raises ApiError."""
        if self._record is None:
            return str(self._folder or "")
        return str(self._record.download(root))

    def get_path(self, name: str) -> Any:
        return Path(self.download()) / name

    def get(self, name: str) -> Any:
        """The table of a version that was added under `name`; None if there is none. Raises ApiError."""
        from fourwalls.media import Table

        path = Path(self.download()) / f"{name}.json"
        if not path.is_file():
            return None
        content = json.loads(path.read_bytes())
        return Table(content["columns"], content["rows"]) if "columns" in content else content

    def file(self, root: Any = None) -> str:
        """The path of the only file of a version. Raises ApiError."""
        folder = Path(self.download(root))
        return str(next(path for path in sorted(folder.rglob("*")) if path.is_file()))

    def wait(self, *_: Any, **__: Any) -> Artifact:
        return self

    def save(self, *_: Any, **__: Any) -> None:
        """Has no effect: log_artifact() saves."""

    def _scratch(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="fourwalls-"))
        return self._folder


def log_version(run: SavingRun, artifact: Artifact, aliases: list[str]) -> None:
    """Copy the files into the run's spool and queue the version behind them. Raises OSError."""
    files = []
    for name, path in sorted(artifact.files_by_name.items())[:FILES]:
        files.append({"path": name, "size_bytes": path.stat().st_size, "sha256": _hash_file(path)})
    files += [{"path": name, "reference": uri[:2000]} for name, uri in sorted(artifact.references.items())]
    content = json.dumps([[one["path"], one.get("sha256", ""), one.get("reference", "")] for one in files])
    digest = hashlib.sha256(content.encode()).hexdigest()
    name = values.clean_text(artifact.name, values.KEY_CHARS).replace("/", "_").replace(":", "_") or "unnamed"
    prefix = clean_path(f"versions/{name}/{digest[:12]}")
    for file_name, path in artifact.files_by_name.items():
        run.save(path, f"{prefix}/{file_name}")
    version = {
        "name": name,
        "kind": values.clean_text(artifact.type, values.KEY_CHARS),
        "note": values.clean_text(artifact.description, 20_000),
        "prefix": prefix,
        "digest": digest,
        "files": files,
        "aliases": [values.clean_text(one, values.KEY_CHARS) for one in aliases],
        "facts": _plain(artifact.metadata),
    }
    run._queue_message("version", version)


def use_version(run: SavingRun, name: str) -> Artifact:
    """The version that a name means for a run. Raises ApiError."""
    from fourwalls.read_api import Api

    settings = run._options
    return Api(url=settings.url, token=settings.token).artifact(name, project=getattr(run, "project", None))


def _hash_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            digest.update(block)
    return digest.hexdigest()


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata as JSON; what JSON does not know becomes a text."""
    try:
        return json.loads(json.dumps({str(key): value for key, value in metadata.items()}, default=str,
                                     allow_nan=False))  # fmt: skip
    except ValueError:
        return {str(key): str(value) for key, value in metadata.items()}

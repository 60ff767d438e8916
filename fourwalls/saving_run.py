"""Part of a run that saves files: single ones, patterns, a folder of its own, and versions."""

from __future__ import annotations

import glob
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional, Union

from fourwalls.artefacts import ArtefactUploader
from fourwalls.marked_run import MarkedRun
from fourwalls.options import Options
from fourwalls.versions import Artifact, log_version, use_version

POLICIES = ("now", "live", "end")

log = logging.getLogger("fourwalls")
PathLike = Union[str, "os.PathLike[str]"]


class SavingRun(MarkedRun):
    """Files of a run."""

    id: str
    _options: Options
    _artefacts: Optional[ArtefactUploader]
    _dir: Optional[Path] = None
    _flushed_spool: Optional[ArtefactUploader] = None  # whose run is on disk

    @property
    def dir(self) -> str:
        """A folder whose files are saved with the run when it ends."""
        if self._dir is None:
            if self._options.mode == "disabled":
                self._dir = Path(tempfile.mkdtemp(prefix="fourwalls-"))
            else:
                self._dir = self._options.folder / self.id / "files"
                self._dir.mkdir(parents=True, exist_ok=True)
        return str(self._dir)

    def save(
        self,
        path: PathLike,
        name: str = "",
        *,
        base_path: Optional[PathLike] = None,
        policy: str = "now",
    ) -> None:
        """Save a file, or a folder with all its files, with the run, under `name` or its own name. The copy is complete
        when this returns, so the original may change. `path` may be a pattern; with `policy` live or end, files that
        change or appear later are saved again when the run ends. Waits for the disk, never for the network. Never
        raises; a file that cannot be read is reported."""
        try:
            if not self._is_open():
                self._warn_ended("save()")
                return
            is_late = policy in POLICIES[1:]
            found = list_pattern(path, name, base_path)
            if is_late:
                self._late_patterns.append((path, name, base_path))
            elif not found:
                log.error("Not saved: %s does not exist.", path)
            for source, saved_name in found:
                if policy != "end":
                    self._save_now(source, saved_name)
        except Exception as error:  # noqa: BLE001 - a file that cannot be saved must not end training
            log.error("Not saved: %s: %r", path, error)

    def log_artifact(self, artifact: Any, name: Optional[str] = None, type: Optional[str] = None,
                     aliases: Any = None, tags: Any = None) -> Artifact:  # fmt: skip
        """Save files under a name with versions. `artifact`: an Artifact, or the path of a file or folder. The server
        numbers the versions of a name in a project; the same content as in the newest version makes no new one."""
        del tags
        if not isinstance(artifact, Artifact):
            made = Artifact(name or Path(str(artifact)).name, type or "unspecified")
            (made.add_dir if Path(str(artifact)).is_dir() else made.add_file)(str(artifact))
            artifact = made
        try:
            log_version(self, artifact, [aliases] if isinstance(aliases, str) else list(aliases or ()))
        except Exception as error:  # noqa: BLE001 - as in save()
            log.error("Not saved: version of %s: %r", artifact.name, error)
        return artifact

    def log_model(self, path: PathLike, name: Optional[str] = None, aliases: Any = None) -> Artifact:
        return self.log_artifact(os.fspath(path), name or Path(path).name, "model", aliases)

    def use_artifact(self, artifact_or_name: Any, type: Optional[str] = None, **_: Any) -> Artifact:
        """The version `name`, `name:v3` or `name:alias` of the project. Raises ApiError if it cannot be had."""
        del type
        if isinstance(artifact_or_name, Artifact):
            return artifact_or_name
        return use_version(self, str(artifact_or_name))

    def use_model(self, name: str) -> str:
        return str(self.use_artifact(name).download())

    def log_code(self, root: Optional[str] = ".", name: Optional[str] = None,
                 include_fn: Any = None, exclude_fn: Any = None) -> None:  # fmt: skip
        """Save the Python files below a folder as `code/...`."""
        del name
        base = Path(root or ".").resolve()
        for path in sorted(base.rglob("*.py"))[:1000]:
            parts = path.relative_to(base).parts
            is_left_out = any(part.startswith(".") or part in ("venv", "node_modules") for part in parts)
            wanted = include_fn is None or include_fn(str(path))
            if wanted and not is_left_out and not (exclude_fn and exclude_fn(str(path))):
                self.save(path, "code/" + "/".join(parts))

    def save_script(self) -> None:
        """Save the main script as `code/<name>`."""
        path = Path(getattr(sys.modules.get("__main__"), "__file__", None) or "")
        if path.is_file():
            self.save(path, f"code/{path.name}")

    def _save_now(self, source: Path, name: str) -> None:
        if self._artefacts:
            if self._flushed_spool is not self._artefacts:
                self.flush()  # a kill must not leave a file without its run
                self._flushed_spool = self._artefacts
            self._artefacts.save(source, name)
            self._saved[name or source.name] = _state_of(source)

    def _save_at_end(self) -> None:
        """Save what has changed or appeared in the run's folder and in late patterns."""
        try:
            found = [one for late in self._late_patterns for one in list_pattern(*late)]
            if self._dir and self._options.mode != "disabled":
                files = (path for path in sorted(self._dir.rglob("*")) if path.is_file())
                found += [(path, path.relative_to(self._dir).as_posix()) for path in files]
            for source, name in found:
                if self._saved.get(name or source.name) != _state_of(source):
                    self._save_now(source, name)
        except Exception as error:  # noqa: BLE001 - as in save()
            log.error("Not all files were saved at the end: %r", error)

    def flush(self, limit_s: float = 10.0) -> bool:
        raise NotImplementedError

    def _is_open(self) -> bool:
        raise NotImplementedError

    def _queue_message(self, kind: str, values: dict[str, Any]) -> None:
        raise NotImplementedError

    def _warn_ended(self, what: str) -> None:
        raise NotImplementedError

    @property
    def _late_patterns(self) -> list[Any]:
        return self.__dict__.setdefault("_late", [])

    @property
    def _saved(self) -> dict[str, Any]:
        return self.__dict__.setdefault("_saved_files", {})


def list_pattern(path: PathLike, name: str, base_path: Optional[PathLike]) -> list[tuple[Path, str]]:
    """The files of a path or pattern with the names under which they are saved; '' for a file's own name."""
    text = os.fspath(path)
    if os.path.exists(text):
        found = [Path(text)]
    else:
        found = [Path(one) for one in sorted(glob.glob(text, recursive=True)) if Path(one).is_file()]
    if name or base_path is None:
        return [(one, name if len(found) == 1 else (f"{name}/{one.name}" if name else "")) for one in found]
    base = Path(base_path).resolve()
    return [
        (one, one.resolve().relative_to(base).as_posix() if base in one.resolve().parents else one.name)
        for one in found
    ]


def _state_of(path: Path) -> Any:
    """What changes when a file is written again; None for a folder, which is always saved again."""
    if path.is_dir():
        return object()
    state = path.stat()
    return state.st_mtime_ns, state.st_size

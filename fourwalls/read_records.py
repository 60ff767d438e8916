"""Runs, files and versions that the read API returns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union
from urllib.parse import urlencode

if TYPE_CHECKING:
    from fourwalls.read_api import Api

HISTORY_POINTS = 10_000  # of one request; a longer series is read as buckets
UPLOAD_WAIT_S = 60.0


class ApiError(Exception):
    """The server refused a request, or does not answer; the message says which."""


class RunRecord:
    """A run as the server holds it. Attributes are the fields of the API; `refresh()` reads them again."""

    def __init__(self, api: Api, values: dict[str, Any]) -> None:
        self._api, self._values = api, values

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"A run has no {name!r}; it has {', '.join(self._values)}.") from None

    def __repr__(self) -> str:
        return f"<run {self.id} {self.name!r} {self.state}>"

    @property
    def config(self) -> dict[str, Any]:
        """The parameters; numbers and truth values as such."""
        return {key: _to_value(text) for key, text in self._values["params"].items()}

    @property
    def summary(self) -> dict[str, Any]:
        """The newest value of each metric."""
        return {key: _to_value(value) for key, value in self._values["metrics"].items()}

    summary_metrics = summary

    @property
    def entity(self) -> str:
        return str(self._values["team"])

    @property
    def user(self) -> str:
        return str(self._values["owner"])

    @property
    def notes(self) -> str:
        return str(self._values["note"])

    def refresh(self) -> RunRecord:
        self._values = self._api.get(f"/runs/{self.id}")
        return self

    load = refresh

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Last, minimum, maximum, mean and counts of each metric."""
        return {one["metric"]: one for one in self._api.get(f"/runs/{self.id}/summary")["metrics"]}

    def history(
        self,
        samples: int = 1000,
        keys: Optional[Iterable[str]] = None,
        *,
        x: str = "step",
        pandas: bool = True,
        stream: str = "default",
        **_: Any,
    ) -> Any:
        """The series as a frame with a column `x` and one per key, or with pandas=False as rows. All points of a series
        of at most `samples`, else as many means of buckets."""
        del stream
        names = list(keys) if keys is not None else sorted(self._values["metrics"])
        rows: dict[float, dict[str, Any]] = {}
        for start in range(0, len(names), 50):
            query = [("metric", name) for name in names[start : start + 50]]
            query += [("source", "run"), ("x", x), ("points", str(max(1, min(samples, HISTORY_POINTS))))]
            for line in self._api.get(f"/runs/{self.id}/series?{urlencode(query)}")["series"]:
                for place, value in zip(line["x"], line["mean"]):
                    rows.setdefault(place, {x: place})[line["metric"]] = value
        ordered = [rows[place] for place in sorted(rows)]
        if not pandas:
            return ordered
        import pandas as library

        return library.DataFrame(ordered, columns=[x, *names])

    def scan_history(self, keys: Optional[Iterable[str]] = None, **_: Any) -> Iterator[dict[str, Any]]:
        """Every point as it was logged, as one row per step, with its time."""
        wanted = set(keys) if keys is not None else None
        rows: dict[Any, dict[str, Any]] = {}
        for point in self._api.get(f"/runs/{self.id}/export?format=json"):
            if point["source"] == "run" and (wanted is None or point["metric"] in wanted):
                row = rows.setdefault(point["step"], {"_step": point["step"]})
                row["_timestamp"], row[point["metric"]] = point["time_us"] / 1e6, point["value"]
        return iter([rows[step] for step in sorted(rows, key=lambda one: -1 if one is None else one)])

    def files(self, names: Optional[Iterable[str]] = None, **_: Any) -> list[FileRecord]:
        found, offset = [], 0
        while offset is not None:
            answer = self._api.get(f"/runs/{self.id}/artefacts?limit=1000&offset={offset}")
            found += [FileRecord(self._api, self.id, one) for one in answer["items"]]
            offset = answer["next_offset"]
        return [one for one in found if names is None or one.name in set(names)]

    def file(self, name: str) -> FileRecord:
        for one in self.files([name]):
            return one
        raise ApiError(f"Run {self.id} has no file {name!r}.")

    def media(self, key: str) -> list[dict[str, Any]]:
        """The media of one name, by step."""
        return list(
            self._api.get(f"/runs/{self.id}/media/entries?{urlencode({'key': key, 'limit': 500})}")["items"]
        )

    def environment(self) -> dict[str, Any]:
        return dict(self._api.get(f"/runs/{self.id}/environment"))

    metadata = property(lambda self: self.environment()["facts"])

    def console(self, tail: int = 1000) -> list[str]:
        return list(self._api.get(f"/runs/{self.id}/console?tail={tail}")["lines"])

    def logged_artifacts(self, **_: Any) -> list[VersionRecord]:
        answer = self._api.get(f"/versions?{urlencode({'run': self.id, 'limit': 500})}")
        return [VersionRecord(self._api, one) for one in answer["items"]]

    def tag(self, **tags: Any) -> None:
        self._values = self._api.send(
            f"/runs/{self.id}/tags", {"tags": {key: str(one) for key, one in tags.items()}}
        )

    def describe(self, name: Optional[str] = None, note: Optional[str] = None) -> None:
        """Change the name or note."""
        given = {key: value for key, value in (("name", name), ("note", note)) if value is not None}
        self._values = self._api.send(f"/runs/{self.id}", given, "PATCH")

    def to_row(self) -> dict[str, Any]:
        left_out = ("params", "metrics", "tags", "spec", "plan", "missing")
        row = {key: value for key, value in self._values.items() if key not in left_out}
        row |= {f"param:{key}": value for key, value in self.config.items()}
        row |= {f"metric:{key}": value for key, value in self.summary.items()}
        return row


class FileRecord:
    """A file of a run."""

    def __init__(self, api: Api, run_id: str, values: dict[str, Any]) -> None:
        self._api, self._run_id = api, run_id
        self.id, self.name, self.size = values["id"], values["path"], values["size_bytes"]
        self.sha256, self.saved_at = values["sha256"], values["saved_at"]

    def __repr__(self) -> str:
        return f"<file {self.name} {self.size} bytes>"

    def download(
        self, root: Union[str, os.PathLike[str]] = ".", replace: bool = False, exist_ok: bool = False
    ) -> Any:
        """Download below `root` and open the file; one that exists stays unless `replace` is set."""
        target = safe_target(Path(root), self.name)
        if target.exists() and not replace and not exist_ok:
            raise ApiError(f"{target} exists; replace=True overwrites it.")
        if replace or not target.exists():
            self._api.get_file(f"/runs/{self._run_id}/artefacts/{self.id}", target)
        return target.open("rb")


class VersionRecord:
    """A version of a named set of files."""

    def __init__(self, api: Api, values: dict[str, Any]) -> None:
        self._api, self._values = api, values
        self.name, self.version, self.kind = values["name"], values["version"], values["kind"]
        self.note, self.facts, self.aliases = values["note"], values["facts"], values["aliases"]
        self.run_id, self.prefix = values["run"], values["prefix"]

    def __repr__(self) -> str:
        return f"<version {self.name}:{self.version}>"

    def download(self, root: Any = None) -> Path:
        """Fetch all files and return their folder, by default `artifacts/<name>:<version>`."""
        folder = Path(root) if root else Path("artifacts") / f"{self.name}-{self.version}"
        until = time.monotonic() + UPLOAD_WAIT_S
        while self._values["missing"] and time.monotonic() < until:
            time.sleep(1.0)
            query = {"name": f"{self.name}:{self.version}", "project": self._values["project"] or ""}
            self._values = self._api.get(f"/versions/find?{urlencode(query)}")
        if missing := self._values["missing"]:
            raise ApiError(
                f"{len(missing)} files of {self.name}:{self.version} are not uploaded yet: {missing[0]}, ..."
            )
        record = RunRecord(self._api, {"id": self.run_id})
        stored = {one.name: one for one in record.files()}
        for one in self._values["files"]:
            if not one.get("reference"):
                file = stored[f"{self.prefix}/{one['path']}"]
                self._api.get_file(
                    f"/runs/{self.run_id}/artefacts/{file.id}", safe_target(folder, one["path"])
                )
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def safe_target(root: Path, name: str) -> Path:
    """The path of a file below `root`. Raises ApiError for a name that leads out of it."""
    target = root / name
    if root.resolve() not in target.resolve().parents:
        raise ApiError(f"{name!r} leads out of {root}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _to_value(text: Any) -> Any:
    """A parameter or metric as a Python value."""
    if not isinstance(text, str):
        return text
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

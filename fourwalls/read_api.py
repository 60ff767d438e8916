"""Read API: runs, their histories, files and versions, as objects and as frames of pandas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional
from urllib.parse import quote, urlencode

from fourwalls import options
from fourwalls.read_filters import filter_text, order_text, quote_value
from fourwalls.read_records import ApiError, RunRecord, VersionRecord
from fourwalls.server import RequestRefused, Server, ServerUnavailable
from fourwalls.versions import Artifact

PAGE = 200


class Api:
    """Reads what a server holds: `Api().runs("project", filter="loss < 2", order="-created")`. Address and token are
    FOURWALLS_URL and FOURWALLS_TOKEN unless given. Raises ApiError."""

    def __init__(
        self, overrides: Any = None, *, url: Optional[str] = None, token: Optional[str] = None, **_: Any
    ) -> None:
        given = dict(overrides or {})
        settings = options.read_options(
            is_strict=False, url=url or given.get("base_url"), token=token or given.get("api_key")
        )
        self.url = settings.url
        self._server = Server(settings.url, settings.token)

    def runs(
        self,
        path: Optional[str] = None,
        filter: Any = "",
        order: str = "",
        *,
        filters: Any = None,
        project: Optional[str] = None,
        state: Optional[str] = None,
        limit: Optional[int] = None,
        per_page: int = PAGE,
        **_: Any,
    ) -> RunList:
        """The runs of a project ('project', or 'team/project'), lazily by page. `filter`: as on the page of runs, such
        as "loss < 2 and model.layers >= 8". `order`: a metric, `param:name` or `created`, with '-' for descending."""
        name = (project or path or "").rpartition("/")[2]
        conditions = [filter_text(filters if filters is not None else filter)]
        if name:
            conditions.append(f"project = {quote_value(name)}")
        text = " and ".join(f"({one})" if len(conditions) > 1 else one for one in conditions if one)
        query = {"filter": text, "sort": order_text(order), "state": state or "", "include": "params,tags"}
        return RunList(self, query, per_page, limit)

    def run(self, path: str) -> RunRecord:
        """The run of an id; of 'team/project/id' the last part."""
        run_id = str(path).rstrip("/").rpartition("/")[2]
        return RunRecord(self, self.get(f"/runs/{quote(run_id, safe='')}"))

    def artifact(self, name: str, type: Optional[str] = None, *, project: Optional[str] = None) -> Artifact:
        """The version `name:v3`, `project/name:latest` or `team/project/name:alias`."""
        del type
        parts = str(name).split("/")
        if len(parts) > 1:
            project = parts[-2]
        query = {"name": parts[-1], **({"project": project} if project is not None else {})}
        record = VersionRecord(self, self.get(f"/versions/find?{urlencode(query)}"))
        made = Artifact(record.name, record.kind, record.note, record.facts)
        made._record = record
        return made

    def history(
        self, runs: Iterable[Any], keys: Iterable[str], *, x: str = "step", samples: int = 1000
    ) -> Any:
        """One frame of pandas with the histories of many runs: run, name, x, and a column per key."""
        import pandas

        frames = [
            run.history(keys=keys, x=x, samples=samples).assign(run=run.id, name=run.name) for run in runs
        ]
        return pandas.concat(frames, ignore_index=True) if frames else pandas.DataFrame()

    def get(self, path: str) -> Any:
        try:
            return self._server.get(path)
        except (RequestRefused, ServerUnavailable) as error:
            raise ApiError(str(error)) from None

    def send(self, path: str, values: Any, method: str = "POST") -> Any:
        try:
            return self._server.post(path, values, method=method)
        except (RequestRefused, ServerUnavailable) as error:
            raise ApiError(str(error)) from None

    def get_file(self, path: str, to: Path) -> None:
        try:
            self._server.get_file(path, to)
        except (RequestRefused, ServerUnavailable, OSError) as error:
            raise ApiError(str(error)) from None


class RunList:
    """Runs of a query, fetched by page while they are read."""

    def __init__(self, api: Api, query: dict[str, str], per_page: int, limit: Optional[int]) -> None:
        self._api, self._limit = api, limit
        self._query = {key: value for key, value in query.items() if value}
        self._per_page = max(1, min(int(per_page), 500))
        self._found: list[RunRecord] = []
        self._next: Optional[int] = 0
        self._total = 0

    def __len__(self) -> int:
        if self._next == 0:
            self._fetch()
        return self._total if self._limit is None else min(self._total, self._limit)

    def __iter__(self) -> Iterator[RunRecord]:
        index = 0
        while self._has(index):
            yield self._found[index]
            index += 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice) or index < 0:
            return list(self)[index]
        if not self._has(index):
            raise IndexError(f"There are {len(self)} runs.")
        return self._found[index]

    def to_pandas(self) -> Any:
        """A frame with a row per run: its fields, `param:...` and `metric:...` columns."""
        import pandas

        return pandas.DataFrame([run.to_row() for run in self])

    def histories(self, keys: Iterable[str], *, x: str = "step", samples: int = 1000) -> Any:
        """The histories of all these runs as one frame of pandas."""
        return self._api.history(self, list(keys), x=x, samples=samples)

    def _has(self, index: int) -> bool:
        if self._limit is not None and index >= self._limit:
            return False
        while index >= len(self._found) and self._next is not None:
            self._fetch()
        return index < len(self._found)

    def _fetch(self) -> None:
        page = {**self._query, "limit": str(self._per_page), "offset": str(self._next or 0)}
        answer = self._api.get(f"/runs?{urlencode(page)}")
        self._found += [RunRecord(self._api, row) for row in answer["items"]]
        self._next, self._total = answer["next_offset"], answer["total"]

"""The server over HTTP: one kept connection, and answers told apart by what is to be done about them."""

from __future__ import annotations

import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

TIMEOUT_S = 15.0
AGAIN = {408, 425, 429, 500, 502, 503, 504}
JSON, MSGPACK = "application/json", "application/msgpack"


class Away(Exception):
    """The server does not answer, or not now: the same again later."""


class Refused(Exception):
    """The server has answered, and will answer the same again; `status` is what HTTP calls the reason."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """Used by one thread."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, values: Any, *, is_msgpack: bool = False, method: str = "POST") -> Any:
        """The decoded answer. Raises Away, Refused."""
        encoder = msgspec.msgpack if is_msgpack else msgspec.json
        headers = {"Content-Type": MSGPACK if is_msgpack else JSON, "Authorization": f"Bearer {self._token}"}
        return self._said(*self._ask(method, f"/api/v1{path}", encoder.encode(values), headers))

    def put_file(self, path: str, file: Path) -> Any:
        """Send a file as it is, in pieces; the decoded answer. Raises Away, Refused; OSError for one that is gone."""
        size = str(file.stat().st_size)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": size}
        headers["Authorization"] = f"Bearer {self._token}"
        return self._said(*self._ask("PUT", f"/api/v1{path}", file, headers))

    def _said(self, status: int, content: bytes) -> Any:
        if status in AGAIN:
            raise Away(f"{self.url} answered {status}")
        try:
            answer = msgspec.json.decode(content)
        except msgspec.DecodeError:
            raise Away(f"{self.url} answered {status} with something that is no JSON") from None
        if status >= 300:
            said = answer.get("detail") if isinstance(answer, dict) else None
            raise Refused(status, str(said or f"status {status}"))
        return answer

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _ask(self, method: str, path: str, body: bytes | Path, headers: dict[str, str]) -> tuple[int, bytes]:
        """Everything that is said may be said twice, so a kept connection that has died is simply opened anew."""
        for is_last in (self._connection is None, True):
            try:
                connection = self._connection = self._connection or self._open()
                if isinstance(body, Path):
                    with body.open("rb") as file:  # from its beginning, at each try
                        connection.request(method, self._prefix + path, file, headers)
                else:
                    connection.request(method, self._prefix + path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if is_last:
                    raise Away(f"{self.url}: {error or type(error).__name__}") from None
        raise AssertionError

    def _open(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            return kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        except (ValueError, http.client.HTTPException) as error:
            raise Away(f"{self.url}: {error}") from None

    @property
    def _prefix(self) -> str:
        return urlsplit(self.url).path

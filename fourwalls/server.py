"""HTTP client of the server with one persistent connection.

Errors are divided by what the caller has to do: retry later, or give up.
"""

from __future__ import annotations

import http.client
import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

TIMEOUT_S = 15.0
RETRY_STATUSES = {408, 425, 429, 500, 502, 503, 504}
JSON, MSGPACK = "application/json", "application/msgpack"


class ServerUnavailable(Exception):
    """The server does not answer now; the same request may succeed later."""


class RequestRefused(Exception):
    """The server refused the request and would refuse it again; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Server:
    """A connection for one thread."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, values: Any, *, is_msgpack: bool = False, method: str = "POST") -> Any:
        """Send values and return the decoded response. Raises ServerUnavailable, RequestRefused."""
        encoder = msgspec.msgpack if is_msgpack else msgspec.json
        headers = {"Content-Type": MSGPACK if is_msgpack else JSON, "Authorization": f"Bearer {self._token}"}
        return self._decode_response(
            *self._request(method, f"/api/v1{path}", encoder.encode(values), headers)
        )

    def get(self, path: str) -> Any:
        """Fetch and return the decoded response. Raises ServerUnavailable, RequestRefused."""
        headers = {"Authorization": f"Bearer {self._token}"}
        return self._decode_response(*self._request("GET", f"/api/v1{path}", b"", headers))

    def get_file(self, path: str, to: Path) -> None:
        """Stream the response into a file, which appears when it is complete. Raises ServerUnavailable, RequestRefused,
        OSError."""
        part = to.with_name(f"{to.name}.part")
        connection = self._connect()
        try:
            connection.request(
                "GET", f"{self._prefix}/api/v1{path}", headers={"Authorization": f"Bearer {self._token}"}
            )
            answer = connection.getresponse()
            if answer.status != 200:
                self._decode_response(answer.status, answer.read())
            with part.open("wb") as file:
                shutil.copyfileobj(answer, file, 1024 * 1024)
            if answer.length:
                raise ServerUnavailable(f"{self.url} ended the file {answer.length} bytes early")
            os.replace(part, to)
        except http.client.HTTPException as error:
            raise ServerUnavailable(f"{self.url}: {error or type(error).__name__}") from None
        finally:
            connection.close()
            part.unlink(missing_ok=True)

    def put_file(self, path: str, file: Path) -> Any:
        """Stream a file and return the decoded response.

        Raises ServerUnavailable, RequestRefused, and OSError if the file is gone.
        """
        size = str(file.stat().st_size)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": size}
        headers["Authorization"] = f"Bearer {self._token}"
        return self._decode_response(*self._request("PUT", f"/api/v1{path}", file, headers))

    def _decode_response(self, status: int, content: bytes) -> Any:
        if status in RETRY_STATUSES:
            raise ServerUnavailable(f"{self.url} answered {status}")
        try:
            answer = msgspec.json.decode(content)
        except msgspec.DecodeError:
            raise ServerUnavailable(f"{self.url} answered {status} with invalid JSON") from None
        if status >= 300:
            detail = answer.get("detail") if isinstance(answer, dict) else None
            raise RequestRefused(status, str(detail or f"status {status}"))
        return answer

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _request(
        self, method: str, path: str, body: bytes | Path, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        """Send a request, again over a new connection if the old one is dead; every request is idempotent."""
        for is_last in (self._connection is None, True):
            try:
                connection = self._connection = self._connection or self._connect()
                if isinstance(body, Path):
                    with body.open("rb") as file:  # each attempt sends it from the start
                        connection.request(method, self._prefix + path, file, headers)
                else:
                    connection.request(method, self._prefix + path, body, headers)
                answer = connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if is_last:
                    raise ServerUnavailable(f"{self.url}: {error or type(error).__name__}") from None
        raise AssertionError

    def _connect(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        try:
            return kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
        except (ValueError, http.client.HTTPException) as error:
            raise ServerUnavailable(f"{self.url}: {error}") from None

    @property
    def _prefix(self) -> str:
        return urlsplit(self.url).path

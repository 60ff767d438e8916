"""Large or compressed request bodies, limited in decompressed size."""

from __future__ import annotations

import zlib
from typing import Any

import zstandard

from engine.request_limits import POINTS_BODY_BYTES

ENCODINGS = ("identity", "gzip", "zstd")
MSGPACK = ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack")


class BodyError(Exception):
    """A body that is refused; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def json_or_yaml_body(description: str) -> dict[str, Any]:
    """Describe a request body for OpenAPI that is read by hand: an object as JSON, or a text as YAML."""
    content = {
        "application/json": {"schema": {"type": "object"}},
        "application/yaml": {"schema": {"type": "string"}},
    }
    return {"requestBody": {"required": True, "description": description, "content": content}}


def is_msgpack(content_type: str) -> bool:
    """Raises BodyError for a type other than msgpack and JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in MSGPACK:
        return True
    if kind in ("", "application/json"):
        return False
    raise BodyError(
        415, f"Content-Type '{kind[:80]}' is not supported; send application/json or {MSGPACK[0]}."
    )


def refuse_too_large(num_bytes: int) -> None:
    if broken := POINTS_BODY_BYTES.error(num_bytes):
        raise BodyError(413, broken)


def decompress(body: bytes, encoding: str) -> bytes:
    """Raises BodyError: 413 beyond the limit of the decompressed size, 415 and 422 for a body that cannot be
    decompressed."""
    encoding = encoding.strip().lower() or "identity"
    if encoding not in ENCODINGS:
        raise BodyError(
            415, f"Content-Encoding '{encoding[:80]}' is not known; use one of {', '.join(ENCODINGS)}."
        )
    refuse_too_large(len(body))
    if encoding == "identity":
        return body
    try:
        found = _gunzip(body) if encoding == "gzip" else _unzstd(body)
    except (zlib.error, zstandard.ZstdError) as error:
        raise BodyError(422, f"The body is not valid {encoding}: {error}.") from None
    refuse_too_large(len(found))
    return found


def _gunzip(body: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=31)
    found = stream.decompress(body, POINTS_BODY_BYTES + 1)
    if not stream.eof and len(found) <= POINTS_BODY_BYTES:
        raise zlib.error("it ends too early")
    return found


def _unzstd(body: bytes) -> bytes:
    with zstandard.ZstdDecompressor(max_window_size=POINTS_BODY_BYTES).stream_reader(body) as stream:
        return stream.read(POINTS_BODY_BYTES + 1)

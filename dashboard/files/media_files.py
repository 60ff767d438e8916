"""Files of logged media, shown inside the run page."""

from __future__ import annotations

from pathlib import Path

from dashboard.files.downloads import FileDownload

# Types that a page may play or frame, by extension. Anything else is saved as bytes.
TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp4": "video/mp4",
    "webm": "video/webm",
}
# A logged page runs its own scripts in an origin of its own, and reaches nothing.
FRAME_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; frame-ancestors 'self'"
)


class MediaDownload(FileDownload):
    """Raises Http404 if the file does not exist."""

    def __init__(self, path: Path, name: str, size_bytes: int) -> None:
        super().__init__(path, name, size_bytes)
        extension = name.rpartition(".")[2].lower()
        if extension in TYPES:
            self["Content-Type"] = TYPES[extension]
        elif extension == "html":
            self["Content-Type"] = "text/html; charset=utf-8"
            self["Content-Security-Policy"] = FRAME_POLICY
            self["Content-Disposition"] = "inline"
        self["Cache-Control"] = "private, max-age=3600"

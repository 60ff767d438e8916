"""Lines of the client for the person at the terminal."""

from __future__ import annotations

import os
import sys

from fourwalls.options import OFF


def print_line(text: str) -> None:
    """Print to the error stream, unless FOURWALLS_SILENT is set."""
    if os.environ.get("FOURWALLS_SILENT", "").lower() in ("", *OFF):
        try:
            sys.stderr.write(f"fourwalls: {text}\n")
        except Exception:  # noqa: BLE001 - a closed stream must not end training
            return

"""Package installation with one line of progress and a log file.

`make` runs this file with the virtual environment's Python before any package is installed, so it uses the standard
library only. The arguments are passed to `pip install`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

PIP = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "-c", "constraints.txt"]
TICK_S = 0.2
TAIL_LINES = 20
STEP_LINE = re.compile(
    r"\s*(Collecting|Processing|Downloading|Using cached|Building wheel for|Requirement already satisfied:)\s+(\S+)"
)
VERSION = re.compile(r"(-\d|[<>=!~;\[(]).*")


def describe_step(line: str) -> str:
    """Return the step that a line of pip's log reports; empty for other lines."""
    if line.startswith("Installing collected packages:"):
        return f"unpacking {line.count(',') + 1} packages"
    if not (found := STEP_LINE.match(line)):
        return ""
    verb, name = found.groups()
    size = re.search(r"\([\d.]+ [kMG]?B\)", line)
    package = VERSION.sub("", name.rpartition("/")[2])
    return f"{verb.lower().rstrip(':')} {package}{' ' + size.group() if size else ''}"


def run_logged(command: list[str], log: Path) -> Iterator[str]:
    """Run a command with its output appended to the log. Yield each new line, and "" at every tick without one.

    Raises subprocess.CalledProcessError when the command fails.
    """
    with log.open("a") as output, log.open(errors="replace") as reader:
        reader.seek(0, os.SEEK_END)
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as process:
            try:
                while process.poll() is None:
                    time.sleep(TICK_S)
                    yield from reader.readlines() or [""]
            finally:
                process.terminate()
        yield from reader.readlines()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def install(command: list[str], log: Path, screen: TextIO) -> str:
    """Run pip and return the closing sentence. A terminal shows the current step and the elapsed seconds."""
    started = time.monotonic()
    step, closing = "starting pip", "All packages are installed already."
    for line in run_logged(command, log):
        step = describe_step(line) or step
        elapsed_s = time.monotonic() - started
        if line.startswith("Successfully installed"):
            closing = f"Installed {len(line.split()) - 2} packages in {elapsed_s:.0f} s."
        if screen.isatty():
            _overwrite(screen, f"Installing packages, {elapsed_s:.0f} s: {step}")
    return closing


def _overwrite(screen: TextIO, text: str) -> None:
    width = shutil.get_terminal_size().columns - 1
    screen.write(f"\r{text[:width].ljust(width)}\r")
    screen.flush()


def main(arguments: list[str], log: Path) -> int:
    screen, shown = sys.stdout, os.path.relpath(log)
    screen.write(f"Installing pinned packages; the first time takes a few minutes. Log: {shown}\n")
    screen.flush()
    size = log.stat().st_size if log.exists() else 0
    try:
        closing = install([sys.executable, *PIP, *arguments], log, screen)
    except subprocess.CalledProcessError as error:
        with log.open(errors="replace") as reader:
            reader.seek(size)
            tail = reader.readlines()[-TAIL_LINES:]
        status = f"pip ended with status {error.returncode}; log: {shown}"
        sys.stderr.write(f"\n{''.join(tail)}Installation failed ({status}). Nothing was started.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInstallation interrupted; the same command resumes it.\n")
        return 130
    if screen.isatty():
        _overwrite(screen, "")
    screen.write(f"{closing}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], Path(sys.prefix) / "install.log"))

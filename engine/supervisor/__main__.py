"""Command `python -m engine.supervisor DIR`: supervision of one attempt."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.directory import AttemptDirectory
from engine.supervisor.spawn import build_exec_spawn
from engine.supervisor.supervise import supervise


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m engine.supervisor DIR\n")
        return 2
    directory = AttemptDirectory(Path(arguments[0]).resolve())
    return supervise(directory, build_exec_spawn(directory))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

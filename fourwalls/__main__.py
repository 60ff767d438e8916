"""`python -m fourwalls sync [DIR]`: ship what runs have left on disk, offline ones and those that were killed."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter

from fourwalls import options
from fourwalls.server import Away, Server
from fourwalls.sync import sync


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fourwalls", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser(
        "sync", help="ship what runs have left on disk; again and again does no harm"
    )
    command.add_argument(
        "folder", nargs="?", help=f"where they have (FOURWALLS_DIR, else ./{options.FOLDER})"
    )
    command.add_argument("--url", help="the server (FOURWALLS_URL)")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        chosen = options.read(folder=asked.folder, url=asked.url)
        outcomes = sync(chosen.folder, Server(chosen.url, chosen.token))
    except (Away, options.OptionError) as error:
        sys.stderr.write(f"{error}\nWhat is not shipped stays where it is.\n")
        return 1
    for outcome in outcomes:
        sys.stdout.write(f"{outcome.what:10} {outcome.folder} {outcome.why}\n")
    counts = Counter(outcome.what for outcome in outcomes)
    sys.stdout.write(f"{len(outcomes)} spools: {dict(counts) or 'nothing to do'}\n")
    return 0 if counts.keys() <= {"shipped", "busy"} else 1


if __name__ == "__main__":
    sys.exit(main())

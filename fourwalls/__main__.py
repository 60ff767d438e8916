"""Command line of the client: `sync` ships spools that runs have left on disk."""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter

from fourwalls import options
from fourwalls.server import Server, ServerUnavailable
from fourwalls.sync import sync


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m fourwalls", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("sync", help="ship the spools that runs have left on disk; may be repeated")
    command.add_argument(
        "folder", nargs="?", help=f"folder of the spools (FOURWALLS_DIR, else ./{options.DEFAULT_FOLDER})"
    )
    command.add_argument("--url", help="URL of the server (FOURWALLS_URL)")
    parsed = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        settings = options.read_options(folder=parsed.folder, url=parsed.url)
        outcomes = sync(settings.folder, Server(settings.url, settings.token))
    except (ServerUnavailable, options.OptionError) as error:
        sys.stderr.write(f"{error}\nSpools that were not shipped stay in place.\n")
        return 1
    for outcome in outcomes:
        sys.stdout.write(f"{outcome.status:10} {outcome.folder} {outcome.reason}\n")
    counts = Counter(outcome.status for outcome in outcomes)
    sys.stdout.write(f"{len(outcomes)} spools: {dict(counts) or 'nothing to do'}\n")
    return 0 if counts.keys() <= {"shipped", "busy"} else 1


if __name__ == "__main__":
    sys.exit(main())

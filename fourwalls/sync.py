"""Spools that a process has left behind: shipped to the server, by hand or by the next run that begins beside them."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from fourwalls.files import Files
from fourwalls.options import Options
from fourwalls.server import Away, Refused, Server
from fourwalls.shipping import Shipper
from fourwalls.spool import Held, Spool

STRAY_S = 60.0  # from making a folder to describing it takes a moment

log = logging.getLogger("fourwalls")


@dataclass(frozen=True)
class Outcome:
    """What became of one spool."""

    folder: Path
    what: str  # shipped, busy, refused, unreadable
    why: str = ""


def sync(folder: Path, server: Server, *, only: str = "", is_automatic: bool = False) -> list[Outcome]:
    """Ship every spool under `folder`, or `only` those of one run, that no living process holds; what is shipped is
    deleted. It goes on where it stopped, as often as it is called. `is_automatic`: leave alone what another machine
    wrote, or lies where there are no locks, for there a spool may look abandoned that is not. Raises Away."""
    for stray in folder.glob(f"{only or '*'}/*/lock"):
        _clear(stray.parent)
    runs: dict[str, list[Path]] = {}
    for about in sorted(folder.glob(f"{only or '*'}/*/about.json")):
        if not is_automatic or _is_surely_ours(about):
            runs.setdefault(about.parent.parent.name, []).append(about.parent)
    return [outcome for run_id, spools in runs.items() for outcome in _sync_run(run_id, spools, server)]


def in_background(options: Options) -> None:
    """What earlier runs have left in the folder, without holding up anybody."""
    if len(list(options.folder.glob("*/*/about.json"))) < 2:  # one is the caller's own
        return

    def work() -> None:
        try:
            sync(options.folder, Server(options.url, options.token), is_automatic=True)
        except Away as error:
            log.debug("Spools of earlier runs stay: %s", error)
        except Exception as error:  # noqa: BLE001 - the run that begins must not mind
            log.warning("Spools of earlier runs stay in %s: %r", options.folder, error)

    threading.Thread(target=work, name="fourwalls-sync", daemon=True).start()


def _is_surely_ours(about: Path) -> bool:
    try:
        told = json.loads(about.read_bytes())
    except (OSError, ValueError):
        return False
    return told.get("host") == socket.gethostname() and told.get("is_locked", False)


def _clear(folder: Path) -> None:
    """What a process left that was killed before its spool was one: no description, and so no frame."""
    try:
        if (folder / "about.json").exists() or time.time() - folder.stat().st_mtime < STRAY_S:
            return
        Spool(folder).delete()
    except (Held, OSError):
        return


def _sync_run(run_id: str, folders: list[Path], server: Server) -> list[Outcome]:
    """A run whose processes have all gone without a word has failed, when it was last heard of."""
    outcomes, ships = [], []
    for folder in folders:
        try:
            ships.append(_ship(folder, server))
            outcomes.append(Outcome(folder, "shipped"))
        except Held:
            outcomes.append(Outcome(folder, "busy", "its process lives"))
        except Refused as error:
            outcomes.append(Outcome(folder, "refused", str(error)))
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, Away):
                raise
            outcomes.append(Outcome(folder, "unreadable", repr(error)))
    for shipper in ships:
        if shipper.speaks and not shipper.has_ended and not any(one.what == "busy" for one in outcomes):
            _fail(run_id, shipper, server)
        if shipper.num_refused or Files(shipper.spool.folder).are_left():
            shipper.spool.close()
        else:
            shipper.spool.delete()
    return outcomes


def _ship(folder: Path, server: Server) -> Shipper:
    spool = Spool(folder)
    try:
        about = json.loads((folder / "about.json").read_bytes())
        shipper = Shipper(
            spool, server, about["run"], about["stream"], about["launch"], speaks=about["speaks"]
        )
        while shipper.ship():
            pass
        Files(folder).ship(server, about["run"])
        return shipper
    except BaseException:
        spool.close()
        raise


def _fail(run_id: str, shipper: Shipper, server: Server) -> None:
    ended_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(shipper.last_at_us / 1e6 or time.time()))
    said = {"state": "failed", "ended_at": ended_at, "stream": shipper.stream}
    try:
        server.post(f"/runs/{run_id}/finish", said)
    except Refused as error:
        log.warning("Run %s could not be marked as failed: %s", run_id, error)

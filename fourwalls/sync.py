"""Shipping of spools that earlier processes have left behind.

It runs by hand or when the next run starts beside them.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from fourwalls.artefacts import ArtefactSpool
from fourwalls.options import Options
from fourwalls.server import RequestRefused, Server, ServerUnavailable
from fourwalls.shipper import Shipper
from fourwalls.spool import FrameSpool, SpoolLocked

STRAY_S = 60.0  # a younger folder may still get its description

log = logging.getLogger("fourwalls")


@dataclass(frozen=True)
class SyncOutcome:
    """Result for one spool."""

    folder: Path
    status: str  # shipped, busy, refused, unreadable
    reason: str = ""


def sync(folder: Path, server: Server, *, only: str = "", is_automatic: bool = False) -> list[SyncOutcome]:
    """Ship every spool under `folder`, or of the run `only`, that no live process holds; delete what is shipped.

    A repeated call continues where the last one stopped. With `is_automatic`, spools of another machine or of
    a file system without locks are skipped, since they may only look abandoned. Raises ServerUnavailable.
    """
    for stray in folder.glob(f"{only or '*'}/*/lock"):
        _delete_stray(stray.parent)
    runs: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"{only or '*'}/*/about.json")):
        if not is_automatic or _is_from_this_host(path):
            runs.setdefault(path.parent.parent.name, []).append(path.parent)
    return [outcome for run_id, spools in runs.items() for outcome in _sync_run(run_id, spools, server)]


def sync_in_background(options: Options) -> None:
    """Ship spools of earlier runs in the folder, in a thread."""
    if len(list(options.folder.glob("*/*/about.json"))) < 2:  # one belongs to the caller
        return

    def work() -> None:
        try:
            sync(options.folder, Server(options.url, options.token), is_automatic=True)
        except ServerUnavailable as error:
            log.debug("Spools of earlier runs stay: %s", error)
        except Exception as error:  # noqa: BLE001 - must not disturb the run that starts
            log.warning("Spools of earlier runs stay in %s: %r", options.folder, error)

    threading.Thread(target=work, name="fourwalls-sync", daemon=True).start()


def _is_from_this_host(path: Path) -> bool:
    try:
        description = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return description.get("host") == socket.gethostname() and description.get("is_locked", False)


def _delete_stray(folder: Path) -> None:
    """Delete the folder of a process that was killed before it described its spool; it holds no frame."""
    try:
        if (folder / "about.json").exists() or time.time() - folder.stat().st_mtime < STRAY_S:
            return
        FrameSpool(folder).delete()
    except (SpoolLocked, OSError):
        return


def _sync_run(run_id: str, folders: list[Path], server: Server) -> list[SyncOutcome]:
    """Ship the spools of one run; mark it failed if all its processes died without ending it."""
    outcomes, shippers = [], []
    for folder in folders:
        try:
            shippers.append(_ship(folder, server))
            outcomes.append(SyncOutcome(folder, "shipped"))
        except SpoolLocked:
            outcomes.append(SyncOutcome(folder, "busy", "its process is alive"))
        except RequestRefused as error:
            outcomes.append(SyncOutcome(folder, "refused", str(error)))
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, ServerUnavailable):
                raise
            outcomes.append(SyncOutcome(folder, "unreadable", repr(error)))
    for shipper in shippers:
        if (
            shipper.owns_run_state
            and not shipper.has_ended
            and not any(one.status == "busy" for one in outcomes)
        ):
            _mark_failed(run_id, shipper, server)
        if shipper.num_refused or ArtefactSpool(shipper.spool.folder).has_any():
            shipper.spool.close()
        else:
            shipper.spool.delete()
    return outcomes


def _ship(folder: Path, server: Server) -> Shipper:
    spool = FrameSpool(folder)
    try:
        description = json.loads((folder / "about.json").read_bytes())
        shipper = Shipper(
            spool,
            server,
            description["run"],
            description["stream"],
            description["launch"],
            owns_run_state=description["speaks"],
        )
        while shipper.ship():
            pass
        ArtefactSpool(folder).ship(server, description["run"])
        return shipper
    except BaseException:
        spool.close()
        raise


def _mark_failed(run_id: str, shipper: Shipper, server: Server) -> None:
    ended_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(shipper.last_at_us / 1e6 or time.time()))
    body = {"state": "failed", "ended_at": ended_at, "stream": shipper.stream}
    try:
        server.post(f"/runs/{run_id}/finish", body)
    except RequestRefused as error:
        log.warning("Run %s could not be marked as failed: %s", run_id, error)

"""One attempt on this machine's own devices, without queue, agent or database."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import procfs
from engine.checkpoints.start import open_start
from engine.directory import AttemptDirectory, Placement, Seat
from engine.planner import plan
from engine.request_limits import SPEC_BYTES
from engine.spec import grid
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.presets import PRESETS
from engine.spec.spec import Problem, Spec, SpecError, parse, with_changes, yaml_values
from engine.supervisor.environment import ROOT
from engine.supervisor.locks import is_free
from engine.telemetry import host
from engine.telemetry.readings import DeviceInfo

LEASE_S = 300.0


@dataclass(frozen=True)
class Folders:
    """Shared with a dashboard on this machine, so that both see the same device locks and prepared corpora."""

    locks: Path
    data: Path
    corpora: Path

    @classmethod
    def of_this_machine(cls) -> Folders:
        home = Path(os.environ.get("FOURWALLS_HOME") or ROOT / ".fourwalls").resolve()
        node = Path(os.environ.get("FOURWALLS_NODE_DIR") or home / "node").resolve()
        data = Path(os.environ.get("FOURWALLS_DATA_DIR") or home / "data").resolve()
        corpora = Path(os.environ.get("FOURWALLS_CORPUS_ROOT") or home / "corpora").resolve()
        return cls(node / "locks", data, corpora)


def spec_of(source: str, changes: Sequence[str]) -> Spec:
    """The spec of a preset's name or a YAML file, with changes such as model.layers=4. Raises SpecError."""
    if source in PRESETS:
        values: Any = {"name": source} | PRESETS[source][1]
    else:
        values = yaml_values(_text_of(source))
    if not isinstance(values, Mapping):
        return parse(values)  # raises with what it is instead
    return parse(with_changes(values, changes))


def prepare(
    directory: AttemptDirectory, spec: Spec, devices: Sequence[DeviceInfo], folders: Folders, is_resumed: bool
) -> None:
    """Write the attempt directory. Raises SpecError for a spec or a folder that will not do, OSError for a bad disk."""
    kind = devices[0].kind
    refuse_impossible(spec, Hardware(kind, len(devices)))
    resume_from, attempt = _resumed(directory) if is_resumed else _fresh(directory)
    free_first = sorted(devices, key=lambda device: not is_free(folders.locks, device.id))
    chosen = sorted(free_first[: spec.parallel.world_size], key=lambda device: device.index)
    placement = Placement(
        job=spec.name, run=spec.name, attempt=attempt, node=host.machine_id(),
        world_size=spec.parallel.world_size, master_addr="127.0.0.1", master_port=0, seats=seats(spec, chosen),
        threads_per_rank=_threads_per_rank(chosen, len(devices)), lock_dir=str(folders.locks),
        data_dir=str(folders.data), corpus_root=str(folders.corpora), resume_from=resume_from,
        start_from=_start(spec, folders), start_title=spec.start_from,
    )  # fmt: skip
    directory.create(spec, placement, plan(spec).to_json(), time.time() + LEASE_S)


def _start(spec: Spec, folders: Folders) -> str | None:
    """The folder that the spec names: a checkpoint's or Hugging Face's, in the corpora's folder or anywhere on this
    machine. Raises SpecError."""
    if not spec.start_from:
        return None
    path = (folders.corpora / spec.start_from).resolve()
    open_start(path, spec.start_from).refuse_misfit(spec)
    return str(path)


def seats(spec: Spec, devices: Sequence[DeviceInfo]) -> tuple[Seat, ...]:
    """One rank a device, in the order of engine.spec.grid."""
    return tuple(
        Seat(
            rank, rank, device.id, device.kind, device.index, place.data_rank, place.stage, place.tensor_rank
        )
        for rank, (device, place) in enumerate(zip(devices, grid.places(spec.parallel), strict=True))
    )


def _text_of(source: str) -> bytes:
    try:
        with open(source, "rb") as file:
            return file.read(SPEC_BYTES + 1)
    except OSError as error:
        names = ", ".join(PRESETS)
        message = f"'{source}' is neither a preset ({names}) nor a file that can be read: {error.strerror}."
        raise SpecError([Problem("", message)]) from None


def _fresh(directory: AttemptDirectory) -> tuple[None, int]:
    if (directory.path / "placement.json").exists():
        message = (
            f"{directory.path} holds an attempt already. --resume goes on with it; or name another folder."
        )
        raise SpecError([Problem("", message)])
    return None, 1


def _resumed(directory: AttemptDirectory) -> tuple[str, int]:
    checkpoint, state = directory.newest_checkpoint(), directory.read_state()
    if state and procfs.is_alive(state.pid, state.pid_started):
        raise SpecError([Problem("", f"{directory.path} is in use: its supervisor runs as pid {state.pid}.")])
    if checkpoint is None:
        raise SpecError([Problem("", f"{directory.path} holds no complete checkpoint to resume from.")])
    number = directory.read_placement().attempt + 1
    (directory.path / "state.json").unlink(missing_ok=True)  # of the attempt before
    return str(checkpoint), number


def _threads_per_rank(chosen: Sequence[DeviceInfo], num_devices: int) -> int:
    """The cores of the smallest share; beside GPUs, an equal share of the machine's cores."""
    cores = min(device.cores or host.cores() / num_devices for device in chosen)
    return max(1, int(cores))

"""Local attempts on this machine's devices, without queue, agent or database."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.checkpoints.initial_weights import open_initial_weights
from engine.directory import AttemptDirectory, Placement, RankSeat
from engine.hardware.peaks import find_peak
from engine.planner import HardwareProfile, plan, profile_from_peak
from engine.request_limits import SPEC_BYTES
from engine.spec import grid
from engine.spec.checks import Hardware, refuse_impossible
from engine.spec.presets import PRESETS
from engine.spec.spec import Problem, Spec, SpecError, parse, with_changes, yaml_values
from engine.supervisor.environment import ROOT
from engine.supervisor.locks import is_free
from fourwalls.system import host, procfs
from fourwalls.system.readings import DeviceInfo

LEASE_S = 300.0


@dataclass(frozen=True)
class LocalFolders:
    """Folders shared with a dashboard on this machine, so that both use the same device locks and prepared corpora."""

    locks: Path
    data: Path
    corpora: Path

    @classmethod
    def from_environment(cls) -> LocalFolders:
        home = Path(os.environ.get("FOURWALLS_HOME") or ROOT / ".fourwalls").resolve()
        node = Path(os.environ.get("FOURWALLS_NODE_DIR") or home / "node").resolve()
        data = Path(os.environ.get("FOURWALLS_DATA_DIR") or home / "data").resolve()
        corpora = Path(os.environ.get("FOURWALLS_CORPUS_ROOT") or home / "corpora").resolve()
        return cls(node / "locks", data, corpora)


def load_spec(source: str, changes: Sequence[str]) -> Spec:
    """Load the spec of a preset or a YAML file, with changes such as model.layers=4. Raises SpecError."""
    if source in PRESETS:
        values: Any = {"name": source} | PRESETS[source][1]
    else:
        values = yaml_values(_read_source(source))
    if not isinstance(values, Mapping):
        return parse(values)  # raises SpecError with the actual type
    return parse(with_changes(values, changes))


def prepare_attempt(
    directory: AttemptDirectory,
    spec: Spec,
    devices: Sequence[DeviceInfo],
    folders: LocalFolders,
    is_resumed: bool,
) -> None:
    """Write the attempt directory. Raises SpecError for an invalid spec or folder, OSError if it cannot be written."""
    kind = devices[0].kind
    refuse_impossible(spec, Hardware(kind, len(devices)))
    resume_from, attempt = _find_resume_point(directory) if is_resumed else _start_fresh(directory)
    free_first = sorted(devices, key=lambda device: not is_free(folders.locks, device.id))
    chosen = sorted(free_first[: spec.parallel.world_size], key=lambda device: device.index)
    placement = Placement(
        job=spec.name, run=spec.name, attempt=attempt, node=host.machine_id(),
        world_size=spec.parallel.world_size, master_addr="127.0.0.1", master_port=0, seats=build_seats(spec, chosen),
        threads_per_rank=_threads_per_rank(chosen, len(devices)), lock_dir=str(folders.locks),
        data_dir=str(folders.data), corpus_root=str(folders.corpora), resume_from=resume_from,
        start_from=_find_initial_weights(spec, folders), start_title=spec.start_from,
    )  # fmt: skip
    profile = describe_devices(devices)
    directory.create(
        spec, placement, plan(spec).to_json(), time.time() + LEASE_S,
        profile=profile.to_json() if profile.flops_per_s else None,
    )  # fmt: skip


def describe_devices(devices: Sequence[DeviceInfo]) -> HardwareProfile:
    """Data sheet speeds of a known GPU; a CPU has no speeds here, since nothing is probed."""
    first = devices[0]
    peak = find_peak(first.name) if first.kind == "cuda" else None
    profile = profile_from_peak(peak) if peak else HardwareProfile(
        first.name, "cuda" if first.kind == "cuda" else "cpu", "estimated", "this machine", {}
    )  # fmt: skip
    return dataclasses.replace(
        profile, name=first.name, memory_bytes=first.memory_bytes or profile.memory_bytes,
        devices_per_node=len(devices), node_memory_bytes=host.memory_bytes(),
        node_disk_bytes=shutil.disk_usage(Path.cwd()).free,
    )  # fmt: skip


def _find_initial_weights(spec: Spec, folders: LocalFolders) -> str | None:
    """Return the folder of spec.start_from: a checkpoint or Hugging Face folder, relative to the folder of corpora.

    Raises SpecError.
    """
    if not spec.start_from:
        return None
    path = (folders.corpora / spec.start_from).resolve()
    open_initial_weights(path, spec.start_from).refuse_misfit(spec)
    return str(path)


def build_seats(spec: Spec, devices: Sequence[DeviceInfo]) -> tuple[RankSeat, ...]:
    """Assign one rank to each device, in the order of engine.spec.grid."""
    seats = []
    for rank, (device, place) in enumerate(zip(devices, grid.rank_coordinates(spec.parallel), strict=True)):
        position = (place.data_rank, place.stage, place.tensor_rank)
        about = (f"{device.name} #{device.index}", device.memory_bytes)
        seats.append(RankSeat(rank, rank, device.id, device.kind, device.index, *position, *about))
    return tuple(seats)


def _read_source(source: str) -> bytes:
    try:
        with open(source, "rb") as file:
            return file.read(SPEC_BYTES + 1)
    except OSError as error:
        names = ", ".join(PRESETS)
        message = f"'{source}' is neither a preset ({names}) nor a readable file: {error.strerror}."
        raise SpecError([Problem("", message)]) from None


def _start_fresh(directory: AttemptDirectory) -> tuple[None, int]:
    if (directory.path / "placement.json").exists():
        message = (
            f"{directory.path} already has an attempt. Use --resume to continue it, or choose another folder."
        )
        raise SpecError([Problem("", message)])
    return None, 1


def _find_resume_point(directory: AttemptDirectory) -> tuple[str, int]:
    checkpoint, state = directory.newest_checkpoint(), directory.read_state()
    if state and procfs.is_alive(state.pid, state.pid_started):
        raise SpecError([Problem("", f"{directory.path} is in use: its supervisor runs as pid {state.pid}.")])
    if checkpoint is None:
        raise SpecError([Problem("", f"{directory.path} has no complete checkpoint to resume from.")])
    number = directory.read_placement().attempt + 1
    (directory.path / "state.json").unlink(missing_ok=True)  # of the previous attempt
    return str(checkpoint), number


def _threads_per_rank(chosen: Sequence[DeviceInfo], num_devices: int) -> int:
    """Return the cores per rank: the fewest of any chosen device; with GPUs an equal share of the machine's cores."""
    cores = min(device.cores or host.cores() / num_devices for device in chosen)
    return max(1, int(cores))

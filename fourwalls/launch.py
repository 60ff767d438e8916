"""Rank and shared id of the processes of one launch."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # of the server's ids: no i, l, o, u
RANK_VARIABLES = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
LOCAL_RANK_VARIABLES = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")
SIZE_VARIABLES = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


@dataclass(frozen=True)
class Launch:
    """Rank of this process in its launch.

    `id` is random for a single process. It is None if several nodes share nothing that identifies the launch.
    """

    rank: int
    local_rank: int
    size: int
    id: str | None

    @property
    def source(self) -> str:
        """Source of this rank's points; rank 0 logs as the run."""
        return "run" if self.rank == 0 else f"rank{self.rank}"


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch:
    rank, local_rank = (
        _read_int(environment, RANK_VARIABLES, 0),
        _read_int(environment, LOCAL_RANK_VARIABLES, 0),
    )
    size = _read_int(environment, SIZE_VARIABLES, 1)
    return Launch(rank, local_rank, size, random_id() if size <= 1 else _shared_id(environment, size))


def random_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(12))


def hash_id(text: str) -> str:
    """The same id for the same text."""
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(ALPHABET[byte % 32] for byte in digest[:12])


def shared_run_id(process: Launch, project: str, name: str) -> str | None:
    """The same run id on all ranks of a launch; None if nothing identifies the launch on all its nodes."""
    if process.size <= 1:
        return random_id()
    return hash_id(f"{process.id} {project} {name}") if process.id else None


def _shared_id(environment: Mapping[str, str], size: int) -> str | None:
    if job := environment.get("SLURM_JOB_ID"):
        parts = (job, environment.get("SLURM_STEP_ID", ""), environment.get("SLURM_RESTART_COUNT", "0"))
        return hash_id(f"slurm {socket.getfqdn().partition('.')[2]} {parts}")
    if (name := environment.get("TORCHELASTIC_RUN_ID", "none")) != "none":
        return hash_id(f"torchelastic {name} {environment.get('TORCHELASTIC_RESTART_COUNT', '0')}")
    if _read_int(environment, ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"), 0) == size:
        parent = os.getppid()
        return hash_id(f"{socket.gethostname()} {parent} {_start_time(parent)}")
    return None


def _start_time(pid: int) -> str:
    """Start time of a process in clock ticks, since pids are reused."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _read_int(environment: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        if (text := environment.get(name, "")).isdigit():
            return int(text)
    return default

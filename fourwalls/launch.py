"""Which of the processes of one launch this is: its rank, and an id that all of them share."""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # as the server's ids: no i, l, o, u
RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
LOCAL_RANKS = ("LOCAL_RANK", "SLURM_LOCALID", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID")
SIZES = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


@dataclass(frozen=True)
class Launch:
    """`id` is drawn by lot for a process of its own; None where several nodes share nothing that tells one launch
    from the next."""

    rank: int
    local_rank: int
    size: int
    id: str | None

    @property
    def source(self) -> str:
        """Rank 0 speaks for the run."""
        return "run" if self.rank == 0 else f"rank{self.rank}"


def read(environment: Mapping[str, str] = os.environ) -> Launch:
    rank, local_rank = _whole(environment, RANKS, 0), _whole(environment, LOCAL_RANKS, 0)
    size = _whole(environment, SIZES, 1)
    return Launch(rank, local_rank, size, draw_id() if size <= 1 else _shared_id(environment, size))


def draw_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(12))


def id_from(text: str) -> str:
    """Always the same id for the same text."""
    digest = hashlib.sha256(text.encode()).digest()
    return "".join(ALPHABET[byte % 32] for byte in digest[:12])


def _shared_id(environment: Mapping[str, str], size: int) -> str | None:
    if job := environment.get("SLURM_JOB_ID"):
        parts = (job, environment.get("SLURM_STEP_ID", ""), environment.get("SLURM_RESTART_COUNT", "0"))
        return id_from(f"slurm {socket.getfqdn().partition('.')[2]} {parts}")
    if (name := environment.get("TORCHELASTIC_RUN_ID", "none")) != "none":
        return id_from(f"torchelastic {name} {environment.get('TORCHELASTIC_RESTART_COUNT', '0')}")
    if _whole(environment, ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"), 0) == size:
        parent = os.getppid()
        return id_from(f"{socket.gethostname()} {parent} {_started(parent)}")
    return None


def _started(pid: int) -> str:
    """When a process began, in clock ticks: a pid alone comes again."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _whole(environment: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        if (text := environment.get(name, "")).isdigit():
            return int(text)
    return default

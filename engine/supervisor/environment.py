"""The environment of a rank: an allow-list of the host's variables, and what the placement says."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.directory import Placement, Seat

SIOCGIFADDR = 0x8915  # linux/sockios.h
TAG = "FOURWALLS_ATTEMPT"  # its value, the attempt's directory, finds strays in /proc

# A rank runs the spec of whoever may submit jobs: it gets no credentials of the database, the broker or the web.
ALLOWED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME", "CC", "CXX",
})  # fmt: skip
ALLOWED_PREFIXES = ("LC_", "PYTHON", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "MKL_", "KMP_")

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package `engine`


def interpreter() -> str:
    """The Python that runs ranks: TRAINER_PYTHON, else this one."""
    return os.environ.get("TRAINER_PYTHON") or sys.executable


def allowed(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k in ALLOWED or k.startswith(ALLOWED_PREFIXES)}


def free_port(address: str) -> int:
    """A TCP port that is free on this node right now."""
    with socket.socket(family_of(address), socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def interface_of(address: str) -> str | None:
    """The network interface that has this IPv4 address; None where there is none, or it is an IPv6 one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, SIOCGIFADDR, name.encode()[:15].ljust(40, b"\0"))
            except OSError:  # without an IPv4 address
                continue
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    return None


def rank_environment(tag: str, placement: Placement, seat: Seat) -> dict[str, str]:
    """All that a rank is told by environment; `placement.master_port` must be chosen by now."""
    environment = allowed(os.environ)
    python = interpreter()
    environment |= {
        TAG: tag,
        "RANK": str(seat.rank),
        "LOCAL_RANK": str(seat.local_rank),
        "WORLD_SIZE": str(placement.world_size),
        "LOCAL_WORLD_SIZE": str(len(placement.seats)),
        "MASTER_ADDR": placement.master_addr,
        "MASTER_PORT": str(placement.master_port),
        "OMP_NUM_THREADS": str(placement.threads_per_rank),
        "DS_ACCELERATOR": seat.device_kind,
        "CUDA_VISIBLE_DEVICES": _visible_devices(placement, seat),
        "TORCHDYNAMO_DISABLE": "1",  # saves two seconds of imports; nothing here compiles
        "TORCH_EXTENSIONS_DIR": str(_extensions_dir(placement)),
        "PYTHONUNBUFFERED": "1",  # the last words of a killed rank reach its log
        # ninja, which DeepSpeed wants to find, is installed beside the interpreter
        "PATH": os.pathsep.join(filter(None, (os.path.dirname(python), environment.get("PATH", os.defpath)))),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH", "")))),
    }
    # Rendezvous ports know no authentication: ranks listen on the interface of their address only, alone on loopback.
    if placement.address.startswith("127."):
        environment["GLOO_SOCKET_IFNAME"] = "lo"
    elif interface := interface_of(placement.address):
        environment = {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} | environment
    return environment


def _visible_devices(placement: Placement, seat: Seat) -> str:
    """All devices of the attempt in local order, so that cuda:<LOCAL_RANK> is the rank's and peers can be reached."""
    if seat.device_kind != "cuda":
        return ""
    return ",".join(s.device for s in sorted(placement.seats, key=lambda s: s.local_rank))


def _extensions_dir(placement: Placement) -> Path:
    """One folder per pair of versions: an op built for another torch is never loaded, nor its stale lock waited for."""
    return Path(placement.data_dir) / f"extensions-torch{_version('torch')}-deepspeed{_version('deepspeed')}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

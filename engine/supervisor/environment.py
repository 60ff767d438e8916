"""Environment variables of a rank: allowed host variables, placement."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from engine.directory import Placement, RankSeat

SIOCGIFADDR = 0x8915  # linux/sockios.h
TAG = "FOURWALLS_ATTEMPT"  # its value is the attempt's directory; the cleanup finds strays by it

# A rank runs specs of all users who submit jobs, so it gets no credentials of the database, the broker or the web.
ALLOWED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "XDG_CACHE_HOME", "CC", "CXX",
})  # fmt: skip
ALLOWED_PREFIXES = ("LC_", "PYTHON", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "MKL_", "KMP_")

ROOT = Path(__file__).resolve().parents[2]  # the folder that holds the package `engine`


def interpreter() -> str:
    """Return the Python interpreter of ranks: TRAINER_PYTHON, else the present one."""
    return os.environ.get("TRAINER_PYTHON") or sys.executable


def filter_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a rank may have."""
    return {k: v for k, v in environment.items() if k in ALLOWED or k.startswith(ALLOWED_PREFIXES)}


def free_port(address: str) -> int:
    """Return a TCP port that is free on this node at this moment."""
    with socket.socket(address_family(address), socket.SOCK_STREAM) as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def address_family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def find_interface(address: str) -> str | None:
    """Return the network interface with this IPv4 address; None if there is none or the address is IPv6."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(probe, SIOCGIFADDR, name.encode()[:15].ljust(40, b"\0"))
            except OSError:  # without an IPv4 address
                continue
            if socket.inet_ntoa(found[20:24]) == address:
                return name
    return None


def rank_environment(tag: str, placement: Placement, seat: RankSeat) -> dict[str, str]:
    """Build the environment of a rank. `placement.master_port` must be set."""
    environment = filter_environment(os.environ)
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
        "CUDA_VISIBLE_DEVICES": _list_visible_devices(placement, seat),
        "TORCHDYNAMO_DISABLE": "1",  # saves two seconds of imports; no rank compiles
        "TORCH_EXTENSIONS_DIR": str(_extensions_dir(placement)),
        "PYTHONUNBUFFERED": "1",  # the last output of a killed rank is in its log
        # DeepSpeed searches ninja, which is installed next to the interpreter.
        "PATH": os.pathsep.join(filter(None, (os.path.dirname(python), environment.get("PATH", os.defpath)))),
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH", "")))),
    }
    # Rendezvous ports have no authentication, so ranks listen only on the interface of their address or on loopback.
    # The store of rank 0 does the same by its own socket (engine.rank.parallel.rendezvous).
    if placement.address.startswith("127."):
        environment = {"NCCL_SOCKET_IFNAME": "lo"} | environment | {"GLOO_SOCKET_IFNAME": "lo"}
    elif interface := find_interface(placement.address):
        environment = {"GLOO_SOCKET_IFNAME": interface, "NCCL_SOCKET_IFNAME": interface} | environment
    return environment


def _list_visible_devices(placement: Placement, seat: RankSeat) -> str:
    """Return all devices of the attempt in local order, so that cuda:<LOCAL_RANK> is that of the rank."""
    if seat.device_kind != "cuda":
        return ""
    return ",".join(s.device for s in sorted(placement.seats, key=lambda s: s.local_rank))


def _extensions_dir(placement: Placement) -> Path:
    """Return a folder per pair of versions, so that an op or a stale lock of another torch is never used."""
    return Path(placement.data_dir) / f"extensions-torch{_version('torch')}-deepspeed{_version('deepspeed')}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

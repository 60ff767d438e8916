"""Virtual environment of the peers.

FOURWALLS_PEERS names its Python; otherwise it is created at first use.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.running import ROOT

PACKAGES = (
    "mlflow==3.17.2", "psycopg[binary]", "trackio==0.43.0", "tensorboard==2.21.0", "tensorboardX==2.6.5",
    "torch==2.13.0", "transformers==5.24.0", "accelerate==1.15.0",
)  # fmt: skip


def peer_python() -> Path:
    """Python of the peers' environment; creating or updating it takes some minutes."""
    if path := os.environ.get("FOURWALLS_PEERS"):
        return Path(path)
    folder = ROOT / ".venv-peers"
    installed, wanted = folder / ".installed", "\n".join(PACKAGES)
    if not installed.exists() or installed.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin/pip"), "install", "-q", *PACKAGES], check=True)
        installed.write_text(wanted)
    return folder / "bin/python"

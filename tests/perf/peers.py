"""Other trackers in a virtual environment of their own: HEADROOM_PEERS names its Python, or it is made at first use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.running import ROOT

PACKAGES = ("mlflow==3.17.2", "trackio==0.43.0", "tensorboardX==2.6.5")


def python() -> Path:
    """Takes some minutes the first time."""
    if told := os.environ.get("HEADROOM_PEERS"):
        return Path(told)
    folder = ROOT / ".venv-peers"
    if not (folder / ".installed").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin/pip"), "install", "-q", *PACKAGES], check=True)
        (folder / ".installed").touch()
    return folder / "bin/python"

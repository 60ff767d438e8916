"""Package of the client: a wheel, and an archive that holds it for installers of an address without a name.

Both are built from the files beside this server, and their bytes depend on these files alone.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import fourwalls

FOLDER = Path(fourwalls.__file__).parent
FIRST_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file holds
METADATA = """Metadata-Version: 2.1
Name: fourwalls
Version: {version}
Summary: Client of Fourwalls: experiment tracking that also runs scripts written for W&B
License: Apache-2.0
Requires-Python: >=3.9
Requires-Dist: msgspec>=0.18
Provides-Extra: system
Requires-Dist: nvidia-ml-py; extra == "system"
Requires-Dist: psutil; extra == "system"
"""
WHEEL = """Wheel-Version: 1.0
Generator: fourwalls
Root-Is-Purelib: true
Tag: py3-none-any
"""
# A build backend of a few lines that needs no other package, so that installing downloads nothing to build with.
PYPROJECT = """[build-system]
requires = []
build-backend = "client_build"
backend-path = ["."]

[project]
name = "fourwalls"
version = "{version}"
requires-python = ">=3.9"
"""
BACKEND = '''"""Build backend that hands over the wheel beside it."""

import os
import shutil

WHEEL = {name!r}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    here = os.path.dirname(os.path.abspath(__file__))
    shutil.copyfile(os.path.join(here, WHEEL), os.path.join(wheel_directory, WHEEL))
    return WHEEL


def build_sdist(sdist_directory, config_settings=None):
    raise RuntimeError("This archive holds a finished wheel.")
'''


@dataclass(frozen=True)
class ClientPackage:
    """`version` ends with a digest of the files, so that installers see every change."""

    version: str
    wheel: bytes
    archive: bytes

    @property
    def wheel_name(self) -> str:
        return f"fourwalls-{self.version}-py3-none-any.whl"

    @property
    def archive_name(self) -> str:
        return f"fourwalls-{self.version}.zip"


@cache
def build() -> ClientPackage:
    files = {
        f"fourwalls/{path.relative_to(FOLDER).as_posix()}": path.read_bytes()
        for path in sorted(FOLDER.rglob("*.py"))
    }
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {len(content)} ".encode() + content)
    version = f"{fourwalls.__version__}+c{digest.hexdigest()[:10]}"
    wheel = _build_wheel(files, version)
    name = f"fourwalls-{version}-py3-none-any.whl"
    root = f"fourwalls-{version}"
    archive = {
        f"{root}/PKG-INFO": METADATA.format(version=version).encode(),
        f"{root}/client_build.py": BACKEND.format(name=name).encode(),
        f"{root}/pyproject.toml": PYPROJECT.format(version=version).encode(),
        f"{root}/{name}": wheel,
    }
    return ClientPackage(version, wheel, _zip(archive))


def _build_wheel(files: dict[str, bytes], version: str) -> bytes:
    """A wheel (binary distribution format, PEP 427) with its metadata and record."""
    folder = f"fourwalls-{version}.dist-info"
    contents = {
        **files,
        f"{folder}/METADATA": METADATA.format(version=version).encode(),
        f"{folder}/WHEEL": WHEEL.encode(),
        f"{folder}/top_level.txt": b"fourwalls\n",
    }
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in contents.items()]
    contents[f"{folder}/RECORD"] = "\n".join([*lines, f"{folder}/RECORD,,", ""]).encode()
    return _zip(contents)


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def _zip(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, FIRST_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return file.getvalue()

"""Protection of the home folder from other users of the machine."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

UMASK = 0o077  # files and folders of every process are the user's alone
OTHERS = stat.S_IRWXO
MARKS = ("secret_key", "fourwalls.sqlite3", "node")  # only a folder that holds one of these is a home


def close_home(home: Path) -> None:
    """Take the permissions of other users away from a home that exists; its database and logs are read through it.

    Permissions of its group stay: an operator has given them. A home of another user is left as it is; what this
    process writes there is private by the umask.
    """
    os.umask(UMASK)
    try:
        status = home.stat()
        is_shared = status.st_mode & stat.S_ISVTX  # as /tmp is
        if status.st_uid != os.getuid() or is_shared or not status.st_mode & OTHERS:
            return
        if not any((home / name).exists() for name in MARKS):
            return
        home.chmod(stat.S_IMODE(status.st_mode) & ~OTHERS)
    except FileNotFoundError:
        return
    except OSError as error:
        sys.stderr.write(f"{home} is open to every user of this machine, and stays so: {error.strerror}.\n")
        return
    sys.stderr.write(
        f"{home} was open to every user of this machine (mode {status.st_mode & 0o777:o}); closed.\n"
    )

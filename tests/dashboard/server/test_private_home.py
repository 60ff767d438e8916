"""The home folder and other users of the machine."""

from __future__ import annotations

import os
import random
import stat

import pytest

from dashboard.server import private_home


@pytest.fixture(autouse=True)
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_every_mode_of_a_home_is_closed_to_others_alone(tmp_path, capsys):
    draw = random.Random(20261201)
    home = tmp_path / "home"
    home.mkdir()
    (home / "secret_key").touch()
    for _ in range(100):
        given = 0o700 | draw.randrange(0o100)
        home.chmod(given)
        private_home.close_home(home)
        assert mode(home) == given & 0o770
        assert ("was open" in capsys.readouterr().err) == bool(given & 0o007)


def test_a_folder_that_is_no_home_keeps_its_mode(tmp_path):
    """FOURWALLS_HOME=/tmp must not close /tmp."""
    tmp_path.chmod(0o755)
    private_home.close_home(tmp_path)
    assert mode(tmp_path) == 0o755
    (tmp_path / "node").mkdir()
    tmp_path.chmod(0o1777)
    private_home.close_home(tmp_path)
    assert mode(tmp_path) == 0o1777
    private_home.close_home(tmp_path / "absent")


def test_what_is_made_afterwards_is_private(tmp_path):
    private_home.close_home(tmp_path)
    (tmp_path / "database").touch()
    (tmp_path / "folder").mkdir()
    assert (mode(tmp_path / "database"), mode(tmp_path / "folder")) == (0o600, 0o700)

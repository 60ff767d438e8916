"""Files saved by a run: each arrives as it was when it was saved, despite kills of script or server."""

from __future__ import annotations

import hashlib
import signal

import pytest

from tests.fourwalls.test_sync import sync
from tests.running import wait_until

pytestmark = pytest.mark.slow

SAVES = """
import pathlib
here = pathlib.Path({folder!r})
here.mkdir()
(here / "plots").mkdir()
(here / "plots/loss.svg").write_text("<svg/>")
(here / "model.bin").write_bytes(bytes(range(256)) * 8192)
run = fourwalls.init(name="mine")
print(run.id, flush=True)
run.log({{"loss": 1.0}})
run.save(here / "model.bin")
run.save(here / "plots", "figures")
run.save(here / "nothing", "x")
(here / "model.bin").write_bytes(b"made again")
run.save(here / "model.bin", "later.bin")
"""
MODEL = bytes(range(256)) * 8192
EXPECTED = {"figures/loss.svg": b"<svg/>", "later.bin": b"made again", "model.bin": MODEL}


def digests(server, run_id):
    found = server.get(f"/runs/{run_id}/artefacts")["items"]
    return {one["path"]: one["sha256"] for one in found}


WANTED = {path: hashlib.sha256(content).hexdigest() for path, content in EXPECTED.items()}


def test_files_and_folders_arrive_as_they_were_when_they_were_saved(finished, server, spools, tmp_path):
    run_id = finished(SAVES.format(folder=str(tmp_path / "made")) + "run.finish()")
    assert digests(server, run_id) == WANTED
    assert not list(spools.glob("*/*"))


def test_an_offline_run_keeps_its_files_until_they_are_synced(finished, server, spools, tmp_path):
    run_id = finished(SAVES.format(folder=str(tmp_path / "made")) + "run.finish()", MODE="offline")
    for path in (tmp_path / "made").glob("*.*"):
        path.unlink()
    sync(server, spools)
    assert digests(server, run_id) == WANTED
    assert not list(spools.glob("*/*"))


def test_a_killed_script_loses_no_file_that_was_saved(script, server, spools, tmp_path):
    code = SAVES.format(folder=str(tmp_path / "made")) + "print('saved', flush=True); input()"
    process = script(code, MODE="offline")
    run_id = process.stdout.readline().strip()
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    (half,) = spools.glob("*/*/files")
    (half / "000099").write_bytes(b"cut off by the kill")
    sync(server, spools)
    assert digests(server, run_id) == WANTED


def test_a_file_that_the_server_refuses_is_kept_and_delays_no_other(finished, server, spools, tmp_path):
    code = SAVES.format(folder=str(tmp_path / "made"))
    code = code.replace('"figures")', '"model.bin")')  # a file cannot become a folder + "run.finish()"
    run_id = finished(code)
    assert digests(server, run_id).keys() == {"model.bin", "later.bin"}
    (kept,) = spools.glob("*/*/files/*.refused")
    assert kept.with_suffix("").read_bytes() == b"<svg/>"


def test_files_arrive_during_the_run(script, server, spools, tmp_path):
    code = SAVES.format(folder=str(tmp_path / "made"))
    process = script(code + "print('saved', flush=True); input(); run.finish()")
    run_id = process.stdout.readline().strip()
    process.stdout.readline()
    wait_until(lambda: run_id in {run["id"] for run in server.get("/runs")["items"]})
    wait_until(lambda: digests(server, run_id) == WANTED, description="the files arrive during the run")
    assert server.points(run_id) == [(0.0, 1.0)]
    process.communicate("\n")
    assert process.returncode == 0

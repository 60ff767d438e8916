"""Delivery of spools after an absent server, a killed script or an offline run: complete and once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from fourwalls import frames
from fourwalls.spool import FrameSpool, SpoolPosition
from tests.running import ROOT, wait_until

pytestmark = pytest.mark.slow

LOGS = """
run = fourwalls.init(name="mine")
print(run.id)
for step in range(500):
    run.log({"loss": float(step)})
"""
EXPECTED = [(step, float(step)) for step in range(500)]


def sync(server, spools, code=0):
    own = {"FOURWALLS_URL": server.url, "FOURWALLS_TOKEN": server.token, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "fourwalls", "sync", str(spools)],
        env=os.environ | own, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_an_offline_run_is_synced_later_and_syncing_again_does_nothing(finished, server, spools):
    run_id = finished(LOGS + "run.finish()", MODE="offline")
    assert run_id not in {run["id"] for run in server.get("/runs")["items"]}
    assert "shipped" in sync(server, spools)
    assert server.points(run_id) == EXPECTED
    assert server.get(f"/runs/{run_id}")["state"] == "succeeded"
    assert "nothing to do" in sync(server, spools)


def test_a_killed_script_loses_no_point_on_disk_and_has_failed(script, server, spools):
    process = script(LOGS + "assert run.flush(); print('on disk', flush=True); input()", FINISH_S="0")
    run_id = process.stdout.readline().strip()
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    sync(server, spools)
    assert server.points(run_id) == EXPECTED
    assert server.get(f"/runs/{run_id}")["state"] == "failed"


def test_the_next_run_ships_the_spool_of_a_killed_one(script, finished, server, spools):
    process = script(LOGS + "assert run.flush(); print('on disk', flush=True); input()", MODE="offline")
    run_id = process.stdout.readline().strip()
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished("run = fourwalls.init(); run.log({'a': 1}); time.sleep(1)")
    wait_until(lambda: not list(spools.glob("*/*")) or sync(server, spools))
    assert server.points(run_id) == EXPECTED


def test_a_killed_run_that_is_resumed_keeps_both_parts_and_its_state(script, finished, server, spools):
    process = script(LOGS + "assert run.flush(); print('on disk', flush=True); input()", MODE="offline")
    run_id = process.stdout.readline().strip()
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished(f"run = fourwalls.init(id={run_id!r}); run.log({{'loss': -1.0}}, step=500)")
    assert server.points(run_id) == [*EXPECTED, (500, -1.0)]
    assert server.get(f"/runs/{run_id}")["state"] == "succeeded"


def test_the_spool_of_a_live_script_is_left_alone(script, server, spools):
    process = script(LOGS + "assert run.flush(); print('on disk', flush=True); input()", MODE="offline")
    process.stdout.readline(), process.stdout.readline()
    assert "its process is alive" in sync(server, spools)


def test_a_kill_of_the_server_loses_no_point(script, server):
    process = script("""
        run = fourwalls.init()
        print(run.id, flush=True)
        for step in range(400):
            run.log({"loss": float(step)})
            time.sleep(0.01)
        print(step, flush=True)
        run.finish()
    """)
    run_id = process.stdout.readline().strip()
    wait_until(lambda: run_id in {run["id"] for run in server.get("/runs")["items"]})
    server.kill()
    assert process.stdout.readline().strip() == "399"  # it continued without the server
    server.start()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert server.points(run_id) == [(step, float(step)) for step in range(400)]
    assert server.get(f"/runs/{run_id}")["state"] == "succeeded"


def test_an_absent_server_delays_the_end_by_finish_s_at_most(script, server, spools):
    server.kill()
    process = script(LOGS + "run.finish()", FINISH_S="0.5")
    run_id = process.communicate(timeout=60)[0].strip()
    assert process.returncode == 0
    assert "stay in place" in subprocess.run(
        [sys.executable, "-m", "fourwalls", "sync", str(spools)],
        env=os.environ | {"FOURWALLS_URL": server.url, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
        check=False,
    ).stderr  # fmt: skip
    server.start()
    sync(server, spools)
    assert server.points(run_id) == EXPECTED


def test_a_spool_of_another_machine_is_shipped_only_by_hand(finished, server, spools):
    run_id = finished(LOGS, MODE="offline")
    (path,) = spools.glob("*/*/about.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "elsewhere"}))
    finished("run = fourwalls.init(); run.log({'a': 1}); time.sleep(1)")
    assert path.exists()
    sync(server, spools)
    assert server.points(run_id) == EXPECTED


def test_a_spool_works_on_a_file_system_without_locks(monkeypatch, tmp_path):
    def without(*_):
        raise OSError("no locks here")

    monkeypatch.setattr("fourwalls.file_locks.fcntl.flock", without)
    spool = FrameSpool(tmp_path / "run" / "w")
    spool.append(b"frame")
    assert not spool.is_locked
    spool.close()


def test_a_folder_of_a_script_killed_at_its_start_is_deleted(server, spools):
    for name, age_s in (("old", 3600), ("new", 0)):
        folder = spools / "run" / name
        folder.mkdir(parents=True)
        (folder / "lock").touch()
        os.utime(folder, (time.time() - age_s,) * 2)
    sync(server, spools)
    assert [path.name for path in spools.glob("*/*")] == ["new"]


def test_an_incomplete_frame_is_cut_off_and_the_others_are_read(tmp_path):
    spool = FrameSpool(tmp_path / "run" / "w")
    for step in range(3):
        spool.append(frames.encode_rows([(step, step, {"loss": 1.0}, "run")]))
    spool.close()
    path = tmp_path / "run" / "w" / "frames-000000"
    whole = path.read_bytes()
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:cut])
        again = FrameSpool(tmp_path / "run" / "w")
        kept = [content for _, content in again.read(SpoolPosition(0, 0), 10**6)]
        again.append(frames.encode_rows([(9, 9, {"loss": 2.0}, "run")]))
        after = [frames.decode_rows(content) for _, content in again.read(SpoolPosition(0, 0), 10**6)]
        again.close()
        assert len(after) == len(kept) + 1 == cut * 3 // len(whole) + 1
        assert after[-1] == [(9, 9, {"loss": 2.0}, "run")]


def test_a_long_spool_is_split_into_files_that_are_deleted_once_sent(tmp_path, monkeypatch):
    monkeypatch.setattr("fourwalls.spool.SEGMENT_BYTES", 100)
    spool = FrameSpool(tmp_path / "run" / "w")
    for number in range(20):
        spool.append(bytes([number]) * 30)
    read = list(spool.read(SpoolPosition(0, 0), 10**6))
    assert [content[0] for _, content in read] == list(range(20))
    assert len(spool.segments()) > 4
    spool.delete_segments_before(read[-1][0])
    assert len(spool.segments()) == 1
    spool.close()

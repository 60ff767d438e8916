"""Scripts that Fourwalls did not launch: hardware, ledger and verdict, from real processes against a real server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.fourwalls.foreign import MLFLOW, torch_script
from tests.running import wait_until

pytestmark = pytest.mark.slow

SYSTEM = {"SYSTEM_S": "0.5"}


def add_up(ledger: dict) -> bool:
    return abs(sum(ledger["seconds"].values()) - ledger["held_s"]) <= 0.01 * ledger["held_s"]


def test_a_plain_script_with_three_lines_has_hardware_ledger_and_verdict(finished, server):
    run_id = finished(torch_script(steps=200, between="time.sleep(0.002)"), **SYSTEM)
    sources = {
        (one["metric"], one["source"].split(":")[0])
        for one in server.get(f"/runs/{run_id}/metrics")["metrics"]
    }
    hardware = {"utilisation_pct", "cores_used", "memory_used_bytes", "cpu_pressure_share"}
    assert {(name, "device") for name in hardware} <= sources
    assert {
        ("step_s", "run"),
        ("forward_s", "rank0"),
        ("data_wait_s", "rank0"),
        ("cpu_pct", "host"),
    } <= sources
    ledger = server.get(f"/runs/{run_id}/ledger")
    assert ledger["steps"] == 199 and add_up(ledger)
    verdict = server.get(f"/runs/{run_id}/verdict")
    assert verdict["name"]


CAUSES = {
    "data": ({"in_data": "time.sleep(0.04)"}, "input"),
    "validation": ({"between": "\n    with run.phase('validation'): time.sleep(0.04)"}, "validation"),
    "checkpoint": ({"between": "\n    with run.phase('checkpoint'): time.sleep(0.04)"}, "checkpoints"),
    "logging": ({"between": "\n    with run.phase('logging'): time.sleep(0.04)"}, "recording"),
    "unmarked": ({"between": "time.sleep(0.04)"}, "between_steps"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_an_injected_cause_is_named(cause, finished, server):
    changes, rule = CAUSES[cause]
    run_id = finished(torch_script(steps=60, name=cause, **changes), **SYSTEM)
    verdict = server.get(f"/runs/{run_id}/verdict")
    assert verdict["name"] == rule, verdict
    assert not [one for one in verdict["body"]["remedies"] if one["gain_share"] is not None]
    assert add_up(server.get(f"/runs/{run_id}/ledger"))


def test_a_script_without_marks_is_not_judged(finished, server):
    run_id = finished(
        """
        run = fourwalls.init()
        print(run.id)
        for step in range(20):
            time.sleep(0.05)
            run.log({"loss": 1.0})
        run.finish()
        """,
        **SYSTEM,
    )
    ledger = server.get(f"/runs/{run_id}/ledger")
    assert set(ledger["seconds"]) == {"unmarked"} and ledger["goodput_share"] is None
    verdict = server.get(f"/runs/{run_id}/verdict")
    assert not verdict["name"] and "marks no steps" in verdict["body"]["nothing"]


def test_steps_without_phases_are_not_called_compute(finished, server):
    run_id = finished("""
        run = fourwalls.init()
        print(run.id)
        for step in range(60):
            with run.step():
                time.sleep(0.01)
        run.finish()
        """)
    verdict = server.get(f"/runs/{run_id}/verdict")
    assert not verdict["name"] and "in no phase" in verdict["body"]["nothing"], verdict
    assert server.get(f"/runs/{run_id}/ledger")["seconds"]["step"] > 0.5


def test_a_script_that_only_uses_mlflow_has_hardware_and_says_what_is_not_known(server, tmp_path):
    pytest.importorskip("mlflow")
    own = {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_TRACKING_TOKEN": server.token}
    done = subprocess.run(
        [sys.executable, "-c", MLFLOW],
        env=os.environ | own,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split()[0]
    found = {(one["metric"], one["source"]) for one in server.get(f"/runs/{run_id}/metrics")["metrics"]}
    assert ("utilisation_pct", "device:cpu") in found
    ledger = server.get(f"/runs/{run_id}/ledger")
    assert set(ledger["seconds"]) == {"unmarked"} and add_up(ledger)
    verdict = server.get(f"/runs/{run_id}/verdict")
    assert not verdict["name"] and "neither steps nor" in verdict["body"]["nothing"]


MARKED = """
run = fourwalls.init(name="short")
print(run.id, flush=True)
for step in range(30):
    with run.step(), run.phase("forward"):
        time.sleep(0.01)
"""


def test_an_offline_run_brings_its_clock_and_host_later(finished, server, spools):
    run_id = finished(MARKED + "time.sleep(1)\nrun.finish()", MODE="offline", **SYSTEM)
    finished(f"from fourwalls.sync import sync; from fourwalls.server import Server; from pathlib import Path\n"
             f"print(sync(Path({str(spools)!r}), Server({server.url!r}, {server.token!r})))")  # fmt: skip
    ledger = server.get(f"/runs/{run_id}/ledger")
    assert ledger["steps"] == 29 and add_up(ledger) and 1.2 < ledger["held_s"] < 20
    assert any(
        one["source"].startswith("device:cpu") for one in server.get(f"/runs/{run_id}/metrics")["metrics"]
    )


def test_a_forked_child_does_not_move_the_clock(finished, server):
    run_id = finished(
        MARKED
        + """
child = os.fork()
if child == 0:
    with run.step():
        time.sleep(0.2)
    run.log({"from_child": 1.0})
    run.finish()
    os._exit(0)
os.waitpid(child, 0)
run.finish()
""",
        **SYSTEM,
    )
    ledger = server.get(f"/runs/{run_id}/ledger")
    assert ledger["steps"] == 29 and len(ledger["attempts"]) == 1 and add_up(ledger)


def test_each_rank_is_read_once(script, server):
    ranks = [
        script(MARKED + "time.sleep(2)\nrun.finish()", RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
               LOCAL_WORLD_SIZE="2", RUN_ID="twin", **SYSTEM)
        for rank in range(2)
    ]  # fmt: skip
    for process in ranks:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    metrics = server.get("/runs/twin/metrics")["metrics"]
    found = {(one["metric"], one["source"].split(":")[0]) for one in metrics}
    assert {
        ("forward_s", "rank0"),
        ("forward_s", "rank1"),
        ("rss_bytes", "rank1"),
        ("step_s", "run"),
    } <= found
    assert len({one["source"] for one in metrics if one["source"].startswith("device:")}) == 1
    assert len(server.get("/runs/twin/ledger")["attempts"]) == 1


def test_a_continued_run_has_a_second_attempt(finished, server):
    run_id = finished(MARKED + "run.finish()")
    finished(MARKED.replace("init(", f"init(id={run_id!r}, ") + "run.finish()")
    ledger = server.get(f"/runs/{run_id}/ledger")
    assert [one["steps"] for one in ledger["attempts"]] == [29, 29] and ledger["waited_s"]["over"] > 0


def test_a_killed_script_keeps_what_it_reported(script, server, finished):
    known = MARKED.replace("print(", "run._thread.registered.wait(30)\nprint(")
    process = script(known + "time.sleep(60)", **SYSTEM)
    run_id = process.stdout.readline().strip()
    wait_until(lambda: len(server.points(run_id, "step_s")) > 20)
    process.kill()
    process.wait()
    finished("run = fourwalls.init(name='next')\ntime.sleep(2)\nrun.finish()")
    wait_until(lambda: server.get(f"/runs/{run_id}")["state"] == "failed")
    assert add_up(server.get(f"/runs/{run_id}/ledger"))

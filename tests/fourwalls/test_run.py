"""Runs logged from a script: the arriving data, the final state, and failures that must not end the script."""

from __future__ import annotations

import math

import pytest

from tests.running import wait_until

pytestmark = pytest.mark.slow

LOGS = """
config = {"lr": 3e-4, "model": {"layers": 8}}
run = fourwalls.init(project="bert", name="first", config=config, tags=["baseline"], note="try")
print(run.id)
for step in range(100):
    run.log({"loss": 1 / (step + 1), "train/accuracy": step / 100})
"""


def test_logged_points_arrive_with_the_parameters(finished, server, spools):
    run_id = finished(LOGS + "run.finish()")
    run = server.get(f"/runs/{run_id}")
    assert (run["name"], run["state"]) == ("first", "succeeded")
    assert server.points(run_id) == [(step, 1 / (step + 1)) for step in range(100)]
    assert len(server.points(run_id, "train/accuracy")) == 100
    assert not list(spools.glob("*/*"))  # shipped spools are deleted


@pytest.mark.parametrize(
    ("ending", "code", "state"),
    [
        ("", 0, "succeeded"),
        ("raise RuntimeError('diverged')", 1, "failed"),
        ("with run:\n    raise RuntimeError('diverged')", 1, "failed"),
        ("with run:\n    sys.exit(3)", 3, "failed"),
        ("with run:\n    sys.exit()", 0, "succeeded"),
        ("run.finish('cancelled')", 0, "cancelled"),
    ],
)
def test_a_run_ends_as_its_script_does(ending, code, state, finished, server):
    run_id = finished(LOGS + ending, code_expected=code)
    assert server.get(f"/runs/{run_id}")["state"] == state
    assert len(server.points(run_id)) == 100


def test_numbers_of_every_kind_are_logged_and_others_reported_once(script, server):
    process = script("""
        import numpy as np
        from decimal import Decimal
        run = fourwalls.init()
        print(run.id)
        for _ in range(3):
            run.log({"loss": np.float32(0.5), "n": True, "deep": {"er": Decimal("1.5")}, "nan": float("nan"),
                     "huge": 10**400, "word": "three", 7: 1, "": 1, "x" * 300: 1, "half\\ud800": 1, "none": None})
        run.log("no mapping")
        run.log({"a": 1.0}, step="four")
        run.log({"a": 1.0}, step=2**70)
        run.log({"a": 1.0}, step=np.int64(9))
    """)
    out, err = process.communicate(timeout=60)
    run_id = out.strip()
    assert process.returncode == 0, err
    assert server.points(run_id) == [(0, 0.5), (1, 0.5), (2, 0.5)]
    assert server.points(run_id, "deep/er")[0] == (0, 1.5)
    assert server.points(run_id, "a") == [(9, 1.0)]
    metrics = {one["metric"]: one for one in server.get(f"/runs/{run_id}/metrics")["metrics"]}
    assert metrics["nan"]["last_kind"] == "NaN"
    assert set(metrics) == {"loss", "n", "deep/er", "nan", "7", "a"}
    assert err.count("'none'") == 1
    (word,) = server.get(f"/runs/{run_id}/media/entries?key=word")["items"]  # the same text is stored once
    assert (word["kind"], word["step"], word["items"]) == ("text", 0, [{"text": "three"}])


def test_exact_bits_arrive(finished, server):
    values = [0.1 + 0.2, 5e-324, 1.7976931348623157e308, math.pi]
    run_id = finished(f"""
        run = fourwalls.init()
        print(run.id)
        for value in {values!r}:
            run.log({{"loss": value}})
    """)
    assert [value for _, value in server.points(run_id)] == values


def test_a_resumed_run_continues_after_its_last_step_and_replaces_repeated_steps(finished, server):
    run_id = finished(LOGS)
    out = finished(f"""
        run = fourwalls.init(id={run_id!r}, config={{"lr": 1, "new": 2}})
        print(run.step)
        run.log({{"loss": 7.0}}, step=50)
        run.log({{"loss": 8.0}})
    """)
    assert out == "100"
    assert server.points(run_id)[49:] == [(49, 1 / 50), (50, 7.0), (51, 8.0)]
    assert server.get(f"/runs/{run_id}")["state"] == "succeeded"


def test_ranks_of_one_launch_share_a_run(script, server):
    code = """
        run = fourwalls.init(project="ranks")
        run.log({"loss": 1.0, "rank": float(os.environ["RANK"])}, step=5)
        print(run.id)
    """
    world = {"WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"}
    ranks = [script(code, RANK=str(rank), LOCAL_RANK=str(rank), **world) for rank in (2, 1, 0)]
    outs = {process.communicate(timeout=60)[0].strip() for process in ranks}
    (run_id,) = outs
    found = server.get(f"/runs/{run_id}/metrics")["metrics"]
    assert {(one["source"], one["last"]) for one in found if one["metric"] == "rank"} == {
        ("run", 0.0), ("rank1", 1.0), ("rank2", 2.0),
    }  # fmt: skip
    assert server.get(f"/runs/{run_id}")["state"] == "succeeded"


def test_a_forked_child_logs_without_touching_the_spool_of_its_parent(finished, server):
    run_id = finished("""
        import multiprocessing
        run = fourwalls.init()
        run.log({"loss": 1.0})
        def child():
            run.log({"child": 2.0}, step=1)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start(); process.join()
        if os.fork() == 0:
            os._exit(0)
        run.log({"loss": 3.0})
        print(run.id)
    """)
    assert [value for _, value in server.points(run_id)] == [1.0, 3.0]
    assert server.points(run_id, "child") == [(1, 2.0)]


def test_host_metrics_are_logged_and_missing_ones_have_a_reason(finished, server):
    run_id = finished(
        """
        run = fourwalls.init()
        print(run.id)
        time.sleep(1)
    """,
        SYSTEM_S="0.2",
    )
    sources = {one["source"].partition(":")[0] for one in server.get(f"/runs/{run_id}/metrics")["metrics"]}
    assert sources >= {"host", "device"}
    missing = server.get(f"/runs/{run_id}")["missing"]
    assert any(
        status in ("absent", "unsupported", "denied")
        for one in missing.values()
        for status, _ in one.values()
    )


def test_a_disabled_run_does_nothing(finished, spools):
    finished(LOGS + "run.tag(a=1); run.finish()", MODE="disabled")
    assert not spools.exists()


def test_an_invalid_option_is_reported_at_once(script):
    process = script("fourwalls.init()", MODE="onlin")
    assert (
        "FOURWALLS_MODE='onlin' is not a mode; use one of online, offline, disabled"
        in process.communicate(timeout=60)[1]
    )


def test_an_unwritable_folder_does_not_end_the_script(script, tmp_path):
    (tmp_path / "file").write_text("")
    process = script(LOGS, DIR=str(tmp_path / "file" / "below"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Nothing will be logged" in err


def test_an_unknown_token_does_not_end_the_script_and_keeps_the_spool(script, spools):
    process = script(LOGS, TOKEN="fw_nothing", FINISH_S="5")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "This token is not known" in err
    assert list(spools.glob("*/*/frames-*"))


def test_a_point_reaches_the_server_within_a_second(script, server):
    process = script("run = fourwalls.init(); print(run.id, flush=True); run.log({'loss': 1.0}); input()")
    run_id = process.stdout.readline().strip()
    wait_until(lambda: _has_points(server, run_id))


def _has_points(server, run_id):
    return run_id in {run["id"] for run in server.get("/runs")["items"]} and server.points(run_id)

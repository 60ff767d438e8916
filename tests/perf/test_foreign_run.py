"""Cost of the client to a script with steps of 10 ms: marks, readings of the machine and shipping.

Two processes take turns, one with the client and one without. The loop is arithmetic of a fixed size, so that what the
client takes from it is time of the loop.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT
from tests.serving import Server

pytestmark = [pytest.mark.perf, pytest.mark.timeout(600)]

STEP_S, TURN_STEPS, TURNS = 0.010, 50, 40
TARGET_SHARE = 0.005

LOOP = """
import json, sys, time
has_client = sys.argv[1] == "client"
class Nothing:
    def __enter__(self): return self
    def __exit__(self, *error): return None
if has_client:
    import fourwalls
    run = fourwalls.init(project="overhead")
    step, phase = run.step, run.phase
else:
    step, phase = Nothing, lambda name: Nothing()
def work(count):
    total = 0
    for number in range(count):
        total += number * number
    return total
begin = time.perf_counter(); work(1_000_000); count = int(float(sys.argv[2]) / (time.perf_counter() - begin) * 1_000_000)
print(json.dumps(count), flush=True)
count = int(sys.stdin.readline())
def turn():
    for _ in range(int(sys.argv[3])):
        if has_client:
            with run.step():
                for name in ("data", "forward", "backward", "optimiser"):
                    with run.phase(name):
                        work(count // 4)
            run.log({"loss": 1.0, "lr": 0.1})
        else:
            for name in ("data", "forward", "backward", "optimiser"):
                work(count // 4)
for line in sys.stdin:
    wall, cpu = time.perf_counter(), time.process_time()
    turn()
    print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]), flush=True)
if has_client:
    run.finish()
"""


def start(kind: str, environment: dict[str, str], folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", LOOP, kind, str(STEP_S), str(TURN_STEPS)]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ask(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]):
    assert process.stdout
    return json.loads(process.stdout.readline())


def test_overhead_of_a_step_of_10_ms(tmp_path, capsys):
    server = Server(tmp_path / "home").start()
    own = {"FOURWALLS_URL": server.url, "FOURWALLS_TOKEN": server.token, "FOURWALLS_DIR": str(tmp_path / "spools"),
           "PYTHONPATH": str(ROOT)}  # fmt: skip
    try:
        loops = {kind: start(kind, own, tmp_path) for kind in ("plain", "client")}
        count = min(answer(loop) for loop in loops.values())
        for loop in loops.values():
            ask(loop, str(count))
        found: dict[str, list[list[float]]] = {kind: [] for kind in loops}
        for number in range(TURNS + 2):
            kinds = list(loops) if number % 2 else list(loops)[::-1]
            for kind in kinds:
                ask(loops[kind], "turn")
                taken = answer(loops[kind])
                if number >= 2:
                    found[kind].append(taken)
        for loop in loops.values():
            assert loop.stdin
            loop.stdin.close()
            loop.wait(60)
    finally:
        server.stop()
    pairs = list(zip(found["client"], found["plain"], strict=True))
    wall = [ours[0] / plain[0] - 1 for ours, plain in pairs]
    cpu = [(ours[1] - plain[1]) / plain[1] for ours, plain in pairs]
    step_ms = 1e3 * statistics.median(plain[0] for _, plain in pairs) / TURN_STEPS
    with capsys.disabled():
        print(
            f"\nclient beside a step of {step_ms:.1f} ms, {TURNS} interleaved turns, load {os.getloadavg()[0]:.1f}: "
            f"wall {statistics.median(wall):+.2%} (quartiles {statistics.quantiles(wall)[0]:+.2%}, "
            f"{statistics.quantiles(wall)[2]:+.2%}), CPU {statistics.median(cpu):+.2%}"
        )
    assert statistics.median(wall) < TARGET_SHARE

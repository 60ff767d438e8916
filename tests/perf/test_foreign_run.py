"""Cost of the client to a script with steps of 10 ms: marks, readings of the machine and shipping.

One process takes turns: steps with marks and log calls, and steps without. The difference of the training thread's CPU
time is what the calls cost; the CPU time of all other threads is what the client does beside it, which delays a script
by that much at most.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.running import ROOT
from tests.serving import Server

pytestmark = [pytest.mark.perf, pytest.mark.timeout(600)]

TURN_STEPS, TURNS = 20, 60
TARGET_SHARE = 0.005

LOOP = """
import json, statistics, sys, time
import fourwalls

def work(count):
    total = 0
    for number in range(count):
        total += number * number
    return total

begin = time.thread_time()
work(2_000_000)
count = int(0.010 / (time.thread_time() - begin) * 2_000_000)
run = fourwalls.init(project="overhead")

def marked(steps):
    for _ in range(steps):
        with run.step():
            for name in ("data", "forward", "backward", "optimiser"):
                with run.phase(name):
                    work(count // 4)
        run.log({"loss": 1.0, "lr": 0.1})

def plain(steps):
    for _ in range(steps):
        for name in ("data", "forward", "backward", "optimiser"):
            work(count // 4)

def measure(loop, steps):
    wall, thread, process = time.perf_counter(), time.thread_time(), time.process_time()
    loop(steps)
    own = time.thread_time() - thread
    return time.perf_counter() - wall, own, time.process_time() - process - own

steps, turns = int(sys.argv[1]), int(sys.argv[2])
marked(steps), plain(steps)
pairs = []
for number in range(turns):
    order = (marked, plain) if number % 2 else (plain, marked)
    taken = {loop: measure(loop, steps) for loop in order}
    pairs.append((taken[marked], taken[plain]))
step_s = statistics.median(b[1] for a, b in pairs) / steps
print(json.dumps({
    "step_ms": 1e3 * step_s,
    "wall": statistics.median(a[0] / b[0] - 1 for a, b in pairs),
    "calls": statistics.median(a[1] - b[1] for a, b in pairs) / steps / step_s,
    "beside": sum(a[2] + b[2] for a, b in pairs) / sum(a[1] + b[1] for a, b in pairs),
}))
run.finish()
"""


def test_overhead_of_a_step_of_10_ms(tmp_path, capsys):
    server = Server(tmp_path / "home").start()
    own = {"FOURWALLS_URL": server.url, "FOURWALLS_TOKEN": server.token, "FOURWALLS_DIR": str(tmp_path / "spools"),
           "PYTHONPATH": str(ROOT)}  # fmt: skip
    try:
        command = [sys.executable, "-c", LOOP, str(TURN_STEPS), str(TURNS)]
        done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)
    finally:
        server.stop()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    with capsys.disabled():
        print(
            f"\nclient beside a step of {found['step_ms']:.1f} ms, {TURNS} interleaved turns, load "
            f"{os.getloadavg()[0]:.1f}: calls {found['calls']:+.2%}, other threads {found['beside']:+.2%}, "
            f"wall {found['wall']:+.2%}"
        )
    assert found["calls"] < TARGET_SHARE and found["calls"] + found["beside"] < TARGET_SHARE

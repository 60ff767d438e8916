"""Cost of a log call of ten metrics to the calling thread.

    python log_call.py PEER CALLS

Run by the bench. Prints JSON: median, 99th percentile and mean in microseconds, of calls a few milliseconds apart.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

METRICS = {f"train/m{number}": number / 7 for number in range(10)}
PAUSE_S = 0.002  # a quick training step, after which caches are cold


def ours() -> Callable[[int], None]:
    import fourwalls

    run = fourwalls.init(name="bench")
    return lambda step: run.log(METRICS, step=step)


def mlflow() -> Callable[[int], None]:
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    import mlflow

    mlflow.start_run()
    return lambda step: mlflow.log_metrics(METRICS, step=step)


def mlflow_async() -> Callable[[int], None]:
    import mlflow

    mlflow.start_run()
    return lambda step: mlflow.log_metrics(METRICS, step=step, synchronous=False)


def trackio() -> Callable[[int], None]:
    import trackio

    trackio.init(project="bench", name="bench")
    return lambda step: trackio.log(METRICS, step=step)


def tensorboard() -> Callable[[int], None]:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter("tensorboard")

    def log(step: int) -> None:
        for name, value in METRICS.items():
            writer.add_scalar(name, value, step)

    return log


PEERS = {
    "ours": ours,
    "mlflow": mlflow,
    "mlflow_async": mlflow_async,
    "trackio": trackio,
    "tensorboard": tensorboard,
}


def main(peer: str, calls: int) -> None:
    log = PEERS[peer]()
    log(0)
    durations_us = []
    for step in range(1, calls + 1):
        began = time.perf_counter_ns()
        log(step)
        durations_us.append((time.perf_counter_ns() - began) / 1000)
        time.sleep(PAUSE_S)
    durations_us.sort()
    figures = {
        "p50": durations_us[calls // 2],
        "p99": durations_us[calls * 99 // 100],
        "mean": sum(durations_us) / calls,
    }
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
    os._exit(0)  # queued work is not part of the call


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

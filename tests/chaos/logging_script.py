"""Training script that logs ten metrics a call.

    python logging_script.py RUN START TOTAL JOURNAL_FILE CALLS_PER_S

It appends "from N" to the journal before it logs a block, and "disk N" once flush() has returned.
"""

from __future__ import annotations

import os
import sys
import time

import fourwalls

METRICS, BLOCK = 10, 100


def value(step: int, number: int) -> float:
    return step + number / 16


def main(run_id: str, start: int, total: int, file: str, calls_per_s: float) -> None:
    journal = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    run = fourwalls.init(id=run_id)
    for first in range(start, total, BLOCK):
        os.write(journal, f"from {first}\n".encode())
        last = min(first + BLOCK, total)
        for step in range(first, last):
            run.log({f"m{number}": value(step, number) for number in range(METRICS)}, step=step)
        if run.flush(60.0):
            os.write(journal, f"disk {last}\n".encode())
        if not os.path.exists(f"{file}.hurry"):
            time.sleep(BLOCK / calls_per_s)
    run.finish()
    os.write(journal, b"done 0\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], float(sys.argv[5]))
